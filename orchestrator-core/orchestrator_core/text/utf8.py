"""Bytes to whole characters.

A tokenizer may spread one character (an emoji, a CJK sign) over several tokens. What
has not arrived completely is kept until it has.
"""

from __future__ import annotations

import codecs


class Utf8Assembler:
    """Turns a stream of byte pieces into text, never splitting a character.

    Bytes that can never become UTF-8 are replaced by U+FFFD exactly as
    `bytes.decode("utf-8", "replace")` would do with all of them at once, so the text does
    not depend on how the bytes were cut.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> str:
        """The characters that are complete with `data`; may be empty."""
        return self._decoder.decode(data)

    @property
    def pending(self) -> bytes:
        """The beginning of a character that still waits for its rest (at most 3 bytes)."""
        return self._decoder.getstate()[0]

    def flush(self) -> str:
        """End of the stream: U+FFFD when it broke off inside a character, else nothing.

        The assembler is empty afterwards and can be used again.
        """
        rest = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        return rest
