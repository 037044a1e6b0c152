"""From a backend's raw pieces to the `Token`s of the contract.

One place for what every backend must do alike: whole characters, stops cut exactly, and
the number of native tokens behind each piece of text.
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator_core.backend import Token
from orchestrator_core.text.stops import StopMatcher
from orchestrator_core.text.utf8 import Utf8Assembler


class AnswerText:
    """Assembles the text of one answer.

    Args:
        stops: stop sequences of the request.
        seen: text of this answer that was shown before a seam (`continue_from`).
    """

    def __init__(self, stops: Sequence[str], seen: str = "") -> None:
        self._utf8 = Utf8Assembler()
        self._stops = StopMatcher(stops, seen)
        self._count = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop sequence was reached; nothing more will be released."""
        return self._stops.stopped

    def feed(self, piece: bytes | str, count: int = 1) -> Token | None:
        """Text to show after this piece, or None when there is none yet.

        Args:
            piece: what the tokens stand for; bytes may end inside a character.
            count: how many native tokens made it.
        """
        self._count += count
        text = self._utf8.feed(piece) if isinstance(piece, bytes) else self._utf8.flush() + piece
        return self._token(self._stops.feed(text)[0])

    def flush(self, *, cut_off: bool = False) -> Token | None:
        """End of the answer: releases what was held back, unless a stop was reached.

        Args:
            cut_off: the answer ended by a limit or was cancelled. Half a character is then
                nobody's mistake and is dropped; otherwise it becomes U+FFFD.
        """
        tail = self._utf8.flush()
        released, stopped = self._stops.feed("" if cut_off else tail)
        return self._token(released if stopped else released + self._stops.flush())

    def _token(self, text: str) -> Token | None:
        if not text:
            return None
        token, self._count = Token(text, self._count), 0
        return token
