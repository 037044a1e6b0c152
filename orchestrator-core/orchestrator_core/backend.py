"""The contract between the assistant and whatever produces text.

A backend knows nothing of conversations, documents or HTTP. Everything above it
knows only this module, so a backend can be swapped without touching the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from orchestrator_core.errors import Unsupported
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a backend is asked to continue.

    Args:
        pieces: the rendered text, in order. Joined they are the prompt byte for byte.
            Each piece is tokenised on its own: where text from a person spells a control
            token, the builder cuts inside it, so that it can never act as one.
        messages: the same prompt as roles, for servers that apply their own template;
            empty for a raw prompt.
        tools: OpenAI-shaped tool definitions, for backends that render their own template.
        stable_prefix: how many characters of the joined text are the snapshot of the
            documents: the part that stays identical from turn to turn.
        edition: of the backend in whose template and tokens it was made; None: of any.
    """

    pieces: tuple[str, ...]
    messages: tuple[ChatMessage, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    stable_prefix: int = 0
    edition: int | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @classmethod
    def raw(cls, text: str) -> Prompt:
        """A prompt that is sent as it stands; control tokens in it are honoured."""
        return cls(pieces=(text,))


class FinishReason(StrEnum):
    """Why an answer ended, in OpenAI's words where it has them."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"


class TokenLogprob(NamedTuple):
    """How likely the model itself took a token to be, whatever the sampling then made of that.

    Args:
        piece: the token's bytes, one character each (Latin-1).
        logprob: natural logarithm of its probability.
        top: the likeliest tokens, with theirs.
    """

    piece: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of an answer: whole characters only, never part of one.

    Args:
        text: never empty.
        count: native tokens this text stands for (0 when unknown; several when a
            character needed more than one, or when held-back text is released).
        is_thought: it belongs to what the model thinks, which is no part of the answer.
        logprobs: of the native tokens, where `GenerationConfig.top_logprobs` asks for them.
    """

    text: str
    count: int = 1
    is_thought: bool = False
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one generation, counted by the model's own tokenizer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0


class Generation(ABC):
    """One answer in production: iterate it for tokens.

    Iteration ends normally when `finish_reason` is set. It raises `EngineLost`,
    `BackendUnreachable` or `BackendTimeout` when the backend died half-way; the text
    already yielded stays valid and can be passed on as `continue_from`.
    """

    usage: Usage = Usage()
    finish_reason: FinishReason | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[Token]: ...

    @abstractmethod
    def cancel(self) -> None:
        """Stop as soon as possible; safe from any thread, at any time, more than once.

        The iterator then ends with `finish_reason` CANCELLED.
        """


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Texts that the tokenizer treats as control tokens.

    Args:
        bos: text of the begin-of-sequence token, or "".
        eos: text of the end-of-sequence token, or "".
        control: every control token's text (bos and eos among them).
        adds_bos: whether the backend puts BOS before a prompt by itself.
        infill: what a text that lacks its middle is written with: before its beginning, before its end, and
            where the middle is to be written; empty for a model that was not trained for it.
    """

    bos: str = ""
    eos: str = ""
    control: frozenset[str] = frozenset()
    adds_bos: bool = True
    infill: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelNames:
    """What a version of the registry is called in descriptions and receipts.

    Args:
        model: its reference.
        base: the model that its adapter is attached to.
    """

    model: str
    base: str | None = None


@dataclass(frozen=True, slots=True)
class BackendDescription:
    """What is running, for receipts, /model/info and logs."""

    backend: str
    model: str
    context_length: int
    adapter: str | None = None
    base: str | None = None
    """The model that the adapter was attached to."""
    quantization: str | None = None
    device: str = "cpu"
    device_reason: str = ""
    exact_token_counts: bool = True
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BackendStats:
    """A moment's load, for /metrics and routing. Cells are tokens of KV space."""

    running: int = 0
    waiting: int = 0
    kv_cells_used: int = 0
    kv_cells_total: int = 0
    restarts: int = 0
    loaded: bool = True


class ChatBackend(ABC):
    """Turns a prompt into tokens. All methods are safe to call from any thread.

    `load` and `close` are idempotent. Every other method loads first if need be.
    """

    edition: int = 0
    """Of the backends that follow one another in a server, which one this is."""

    def current(self) -> ChatBackend:
        """The one that answers now: what fits one model only, a template or numbers of tokens, is taken from it."""
        return self

    @abstractmethod
    def load(self) -> None:
        """Make the model ready.

        Raises:
            ModelNotFound, ModelUnusable, MissingExtra, BackendUnreachable.
        """

    @abstractmethod
    def generate(self, prompt: Prompt, config: GenerationConfig, *, continue_from: str = "") -> Generation:
        """Start an answer. `continue_from` is text of this answer that was already shown:
        generation goes on after it and yields only what follows.

        Raises:
            ContextLengthExceeded: prompt + continue_from + 1 token do not fit the window.
            Overloaded: the backend's queue is full.
        """

    @abstractmethod
    def count_tokens(self, text: str) -> int:
        """Tokens of `text` on its own, control tokens parsed, without BOS."""

    @abstractmethod
    def count_prompt(self, prompt: Prompt) -> int:
        """Tokens of the whole prompt as `generate` would see it, BOS included."""

    @property
    @abstractmethod
    def context_length(self) -> int:
        """Tokens that prompt and answer may have together."""

    @abstractmethod
    def describe(self) -> BackendDescription: ...

    @abstractmethod
    def close(self) -> None:
        """Free everything; running generations end with CANCELLED."""

    def chat_template(self, *, tools: bool = False) -> str | None:
        """The model's own Jinja chat template, or None where it has none.

        Args:
            tools: the one for conversations with tools, of models that have another for these.
        """
        return None

    def special_tokens(self) -> SpecialTokens:
        return SpecialTokens()

    def suggested_sampling(self) -> dict[str, float]:
        """Fields of GenerationConfig that the model's author advises, as its file says; the
        owner's settings and the request are stronger."""
        return {}

    def text_of(self, tokens: Sequence[int]) -> str:
        """The text that these tokens of the model's own vocabulary stand for, control tokens included.

        Raises:
            InvalidRequest: one is not in the vocabulary.
            Unsupported: by default.
        """
        raise Unsupported(
            f"The {self.describe().backend} backend takes no token numbers.", hint="Send the text itself."
        )

    def holds_to(self, schema: Mapping[str, Any]) -> bool:
        """Whether every complete answer under this `json_schema` is sure to satisfy it."""
        return False

    @property
    def gives_logprobs(self) -> bool:
        """Whether `GenerationConfig.top_logprobs` is heeded."""
        return False

    def prewarm(self, prompt: Prompt) -> None:
        """Hint: prompts that begin so will be asked for soon, and many with its stable prefix.
        Returns at once; work is in the background."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector per text, all of one length.

        Raises:
            Unsupported: by default.
        """
        raise Unsupported(f"The {self.describe().backend} backend has no embeddings.")

    def stats(self) -> BackendStats:
        return BackendStats()
