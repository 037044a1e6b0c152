"""Text to tokens, piece by piece, and back to bytes.

A prompt comes in pieces so that nothing a person wrote can act as a control token: control tokens are
recognised inside a piece, never across two. llama.cpp, however, treats each text as a beginning:
SentencePiece vocabularies get a space in front of it. For a piece that goes on in the middle of a
text that space would be wrong, so it is tokenised behind a guard character that takes the space and
is cut off again. The same space comes after every control token; where the text brings one already, as
Mistral's templates do, there would be two, so the text's own gives way.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Collection, Sequence

from orchestrator_core.backend import SpecialTokens
from orchestrator_core.engine.native import lib
from orchestrator_core.errors import InvalidRequest

_GUARDS = ("\n", "\x02", "\x03", "\x04")
"""Characters that vocabularies hold only as a single byte; the first that no longer token begins
with or contains is used."""

_NO_TOKEN = -1


class Tokenizer:
    """The tokenizer of a model's vocabulary. Safe to use from several threads at once."""

    def __init__(self, vocab: object) -> None:
        self._vocab = vocab
        self.size = int(lib.llama_vocab_n_tokens(vocab))
        self.bos = int(lib.llama_vocab_bos(vocab))
        self.eos = int(lib.llama_vocab_eos(vocab))
        self.adds_bos = bool(lib.llama_vocab_get_add_bos(vocab)) and self.bos != _NO_TOKEN
        self._pieces: dict[int, bytes] = {}
        parsed = {self._text(token): token for token in range(self.size) if self._is_parsed(token)}
        self._control = {text: token for text, token in parsed.items() if text}
        self._spaced_ends: re.Pattern[str] | None = None
        self._guard = self._find_guard()
        if self._guard is not None:
            self._spaced = self._control
            self._spaced_lengths = sorted({len(token) for token in self._spaced})
            ends = "".join(sorted({token[-1] for token in self._spaced}))
            self._spaced_ends = re.compile(f"(?<=[{re.escape(ends)}]) |^ ") if ends else None

    def prompt(self, pieces: Sequence[str], continued: str = "") -> list[int]:
        """Tokens of a whole prompt, BOS in front where the model wants one (and only one).

        Args:
            pieces: the prompt's pieces.
            continued: the beginning of the answer, to be continued; control tokens in it are text.
        """
        tokens: list[int] = []
        for piece in filter(None, pieces):
            middle = bool(tokens) and not self._is_parsed(tokens[-1])
            tokens += self.middle(piece) if middle else self.beginning(piece)
        if self.adds_bos and tokens[:1] != [self.bos]:
            tokens.insert(0, self.bos)
        if continued:
            tokens += self.middle(continued, parse_control=False)
        return tokens

    def beginning(self, text: str) -> list[int]:
        """Tokens of a text on its own."""
        return self._tokenize(self._without_doubled(text), parse_control=True)

    def plain(self, text: str) -> list[int]:
        """Tokens of a text in which nothing acts as a control token."""
        return self._tokenize(text, parse_control=False)

    def frame(self) -> tuple[list[int], list[int]]:
        """What the model wants before and after a text it reads as a whole, such as [CLS] and [SEP]."""
        bare = self.plain("a")
        whole = self._tokenize("a", parse_control=False, add_special=True)
        for start in range(len(whole)):
            if whole[start : start + len(bare)] == bare:
                return whole[:start], whole[start + len(bare) :]
        return [], []

    def middle(self, text: str, *, parse_control: bool = True) -> list[int]:
        """Tokens of a text that goes on right after another, without a space of its own."""
        if self._guard is None:
            return self._tokenize(text, parse_control=parse_control)
        guard, guard_tokens = self._guard
        text = self._without_doubled(guard + text) if parse_control else guard + text
        return self._tokenize(text, parse_control=parse_control)[guard_tokens:]

    def piece(self, token: int) -> bytes:
        """Bytes of a token; control tokens have none."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._render(token, special=False)
        return known

    def text(self, tokens: Sequence[int]) -> str:
        """The text of these tokens, with that of control tokens.

        Raises:
            InvalidRequest: one is not in the vocabulary.
        """
        for token in tokens:
            if not 0 <= token < self.size:
                raise InvalidRequest(
                    f"The token {token} is not in the model's vocabulary of {self.size:,}.",
                    hint="Token numbers mean what this model's own tokenizer means by them. Send the text, "
                    "or have your client do so (LangChain: check_embedding_ctx_length=False).",
                )
        return b"".join(self._render(token, special=True) for token in tokens).decode("utf-8", "replace")

    def control_tokens(self, texts: Collection[str]) -> dict[int, bytes]:
        """Those of the texts that are control tokens, as bytes by token."""
        return {self._control[text]: text.encode("utf-8") for text in texts if text in self._control}

    def is_end(self, token: int) -> bool:
        """Whether the token ends an answer (end of sequence, of turn, ...)."""
        return bool(lib.llama_vocab_is_eog(self._vocab, token))

    def ends(self) -> frozenset[int]:
        """All tokens that end an answer."""
        return frozenset(token for token in range(self.size) if self.is_end(token))

    def special(self) -> SpecialTokens:
        return SpecialTokens(
            bos=self._text(self.bos),
            eos=self._text(self.eos),
            control=frozenset(self._control),
            adds_bos=self.adds_bos,
            infill=self._infill(),
        )

    def _infill(self) -> tuple[str, ...]:
        """The marks that the file names, or that llama.cpp knows by their texts."""
        kinds = (lib.llama_vocab_fim_pre, lib.llama_vocab_fim_suf, lib.llama_vocab_fim_mid)
        marks = tuple(self._text(kind(self._vocab)) for kind in kinds)
        return marks if all(marks) else ()

    def _without_doubled(self, text: str) -> str:
        """The text without the spaces that stand where the tokenizer puts one of its own."""
        if self._spaced_ends is None:
            return text
        return self._spaced_ends.sub(lambda space: "" if self._is_doubled(text, space.start()) else " ", text)

    def _is_doubled(self, text: str, place: int) -> bool:
        return place == 0 or any(
            text[max(0, place - n) : place] in self._spaced for n in self._spaced_lengths
        )

    def _tokenize(self, text: str, *, parse_control: bool, add_special: bool = False) -> list[int]:
        data = text.encode("utf-8")
        # A token has at least one byte; the guard space and a few more fit too.
        room = len(data) + 8
        buffer = (lib.llama_token * room)()
        wishes = add_special, parse_control
        count = lib.llama_tokenize(self._vocab, data, len(data), buffer, room, *wishes)
        if count < 0:
            room = -count
            buffer = (lib.llama_token * room)()
            count = lib.llama_tokenize(self._vocab, data, len(data), buffer, room, *wishes)
        tokens: list[int] = buffer[: max(0, count)]
        return tokens

    def _find_guard(self) -> tuple[str, int] | None:
        """A guard and its number of tokens, or None when this vocabulary adds no space."""
        if lib.llama_vocab_type(self._vocab) != lib.LLAMA_VOCAB_TYPE_SPM:
            return None
        if not b"".join(map(self.piece, self._tokenize("a", parse_control=False))).startswith(b" "):
            return None
        longer = [text for text in map(self._raw_text, range(self.size)) if len(text) > 1]
        for guard in _GUARDS:
            if not any(guard in text for text in longer):
                return guard, len(self._tokenize(guard, parse_control=False))
        return None

    def _raw_text(self, token: int) -> str:
        text = lib.llama_vocab_get_text(self._vocab, token)
        return text.decode("utf-8", "replace") if text else ""

    def _is_parsed(self, token: int) -> bool:
        """Whether the token's text is recognised as a whole wherever it stands."""
        parsed = (
            lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_USER_DEFINED | lib.LLAMA_TOKEN_ATTR_UNKNOWN
        )
        return bool(lib.llama_vocab_get_attr(self._vocab, token) & parsed)

    def _text(self, token: int) -> str:
        return "" if token == _NO_TOKEN else self._render(token, special=True).decode("utf-8", "replace")

    def _render(self, token: int, *, special: bool) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            written = lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, special)
            if written >= 0:
                return buffer.raw[:written]
            size = -written
