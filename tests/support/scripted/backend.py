"""A backend that says what a script tells it to, and misbehaves on demand.

For tests, and for trying the servers without a model. It needs no weights and counts tokens
with a fixed rule (`script.words`), so prompts, budgets and usage are exact and repeatable.
A script is obeyed to the letter: grammar and json_schema do not change what it says.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator_core.backend import (
    BackendDescription,
    BackendStats,
    ChatBackend,
    Generation,
    Prompt,
    SpecialTokens,
    Usage,
)
from orchestrator_core.errors import (
    BackendError,
    ContextLengthExceeded,
    EngineLost,
    ModelUnusable,
    OrchestratorError,
    Overloaded,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import Role
from orchestrator_core.settings import BUILTIN_MODEL, Settings
from support.scripted.answer import Attempt, ScriptedGeneration
from support.scripted.script import CONTROL_TOKENS, Reply, read_script, trouble, words

REMEMBERED_CALLS = 1000
"""Calls kept for tests to look at; older ones are dropped."""

ReplyMaker = Callable[[Prompt, GenerationConfig], Reply | str]
Wait = Callable[[float, threading.Event], object]
"""Waits so many seconds, or less when the event is set."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of `generate`, as it came."""

    prompt: Prompt
    config: GenerationConfig
    continue_from: str


def question(prompt: Prompt) -> str:
    """The last message of the user; of a raw prompt, its text."""
    asked = [message.content for message in prompt.messages if message.role is Role.USER]
    return asked[-1] if asked else prompt.text


def echo(prompt: Prompt, config: GenerationConfig) -> Reply:
    """Says the question back."""
    return Reply(text=question(prompt))


def _wait(seconds: float, cancelled: threading.Event) -> None:
    cancelled.wait(seconds)


class ScriptedBackend(ChatBackend):
    """The test double.

    Args:
        replies: what it says, in order, each once; a reply with `when` as often as it fits;
            or a function of the prompt. More can be queued with `enqueue`.
        otherwise: said when no reply is left; default: `generate` raises BackendError.
        context_length: the window, in tokens.
        token_delay_s: wait before each token.
        load_delay_s: wait while loading.
        load_gate: loading blocks until this is set (or the backend is closed).
        load_errors: raised by one `load` each, before one succeeds.
        max_running: more answers at once are refused with Overloaded.
        wait: performs the waits; tests give one that does not sleep.
        template: Jinja chat template, or None.
        embedding_size: length of the (hash-made) embeddings; None: Unsupported.
    """

    def __init__(
        self,
        replies: Iterable[Reply | str] | ReplyMaker = (),
        *,
        otherwise: Reply | str | ReplyMaker | None = None,
        name: str = "scripted",
        context_length: int = 8192,
        token_delay_s: float = 0.0,
        load_delay_s: float = 0.0,
        load_gate: threading.Event | None = None,
        load_errors: Iterable[OrchestratorError] = (),
        max_running: int | None = None,
        wait: Wait = _wait,
        template: str | None = None,
        embedding_size: int | None = None,
    ) -> None:
        if callable(replies):
            otherwise, replies = replies, ()
        self._replies: deque[Reply] = deque(_as_reply(reply) for reply in replies)
        self._otherwise = otherwise
        self._name = name
        self._context_length = context_length
        self._token_delay_s = token_delay_s
        self._load_delay_s = load_delay_s
        self._load_gate = load_gate
        self._load_errors = deque(load_errors)
        self._max_running = max_running
        self._wait = wait
        self._template = template
        self._embedding_size = embedding_size

        self.calls: deque[Call] = deque(maxlen=REMEMBERED_CALLS)
        self.prewarmed: deque[Prompt] = deque(maxlen=REMEMBERED_CALLS)
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._loaded = False
        self._closed = threading.Event()
        self._live: weakref.WeakSet[ScriptedGeneration] = weakref.WeakSet()
        self._crashed: dict[str, Attempt] = {}
        self._down_for = 0
        self._restarts = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> ScriptedBackend:
        """The backend that settings with `model.backend` set to `support.scripted.BACKEND` ask for.

        `model.path` is a script file (see `script`), `say:` followed by the one answer it
        gives, or `echo` (also the default).

        Raises:
            ModelNotFound, ConfigurationError: no such script, or not a script.
        """
        path = settings.model.path
        if path in ("echo", BUILTIN_MODEL):
            backend = cls(echo, name="echo")
        elif path.startswith("say:"):
            backend = cls(otherwise=path.removeprefix("say:"), name="say")
        else:
            script = read_script(Path(path).expanduser())
            backend = cls(
                script.replies,
                otherwise=script.otherwise or echo,
                name=Path(path).stem,
                context_length=script.context_length,
                token_delay_s=script.token_delay_s,
                load_delay_s=script.load_delay_s,
            )
        backend._context_length = settings.model.context_length or backend._context_length
        return backend

    def enqueue(self, *replies: Reply | str) -> None:
        """More replies, after those that wait already."""
        with self._lock:
            self._replies.extend(_as_reply(reply) for reply in replies)

    def load(self) -> None:
        with self._loading:
            if self._loaded:
                return
            self._closed.clear()
            if self._load_delay_s:
                self._wait(self._load_delay_s, self._closed)
            while self._load_gate is not None and not self._load_gate.wait(0.05):
                if self._closed.is_set():
                    raise ModelUnusable("The scripted backend was closed while it was loading.")
            if self._load_errors:
                raise self._load_errors.popleft()
            self._loaded = True

    def generate(self, prompt: Prompt, config: GenerationConfig, *, continue_from: str = "") -> Generation:
        self.load()
        used = self.count_prompt(prompt) + self.count_tokens(continue_from)
        if used + 1 > self._context_length:
            raise ContextLengthExceeded(
                f"The prompt has {used} tokens; the window of {self._name!r} holds {self._context_length}."
            )
        with self._lock:
            self.calls.append(Call(prompt, config, continue_from))
            if self._down_for > 0:
                self._down_for -= 1
                raise EngineLost("The scripted engine is restarting.")
            if self._max_running is not None and len(self._live) >= self._max_running:
                raise Overloaded(f"The scripted backend runs {self._max_running} answers already.")
            attempt = self._crashed.get(prompt.text) or Attempt(prompt, self._next_reply(prompt, config))
            if attempt.reply.refuse is not None:
                raise trouble(attempt.reply.refuse)
            generation = ScriptedGeneration(
                self,
                config,
                continue_from,
                attempt,
                Usage(self.count_prompt(prompt), 0, attempt.reply.cached_tokens),
                room=self._context_length - used,
            )
            self._live.add(generation)
            return generation

    def count_tokens(self, text: str) -> int:
        self.load()
        return len(words(text))

    def count_prompt(self, prompt: Prompt) -> int:
        """Tokens of each piece on its own, and BOS where the text does not begin with it."""
        self.load()
        bos = 0 if prompt.text.startswith("<s>") and prompt.pieces[0].startswith("<s>") else 1
        return bos + sum(len(words(piece)) for piece in prompt.pieces)

    @property
    def context_length(self) -> int:
        self.load()
        return self._context_length

    def describe(self) -> BackendDescription:
        return BackendDescription(
            backend="scripted",
            model=self._name,
            context_length=self._context_length,
            device_reason="a script needs no accelerator",
        )

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            live = list(self._live)
            self._live.clear()
        for generation in live:
            generation.cancel()
        with self._loading:
            self._loaded = False

    def chat_template(self, *, tools: bool = False) -> str | None:
        return self._template

    def special_tokens(self) -> SpecialTokens:
        return SpecialTokens(bos="<s>", eos="</s>", control=frozenset(CONTROL_TOKENS))

    def prewarm(self, prompt: Prompt) -> None:
        self.prewarmed.append(prompt)

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        if self._embedding_size is None:
            return super().embed(texts)
        return [_hash_vector(text, self._embedding_size) for text in texts]

    def stats(self) -> BackendStats:
        with self._lock:
            return BackendStats(
                running=len(self._live),
                kv_cells_total=self._context_length,
                restarts=self._restarts,
                loaded=self._loaded,
            )

    def pause(self, reply: Reply, cancelled: threading.Event) -> None:
        """Called by an answer before each token."""
        seconds = self._token_delay_s if reply.delay_s is None else reply.delay_s
        if seconds:
            self._wait(seconds, cancelled)
        if reply.gate is not None:
            reply.gate.pass_through(cancelled)

    def crashed(self, attempt: Attempt) -> None:
        """Called by an answer that dies: the next one to its prompt goes on with the same reply."""
        with self._lock:
            attempt.crashes += 1
            self._crashed[attempt.prompt.text] = attempt
            self._down_for = attempt.reply.down_for
            self._restarts += 1

    def ended(self, generation: ScriptedGeneration, attempt: Attempt) -> None:
        """Called by an answer at its end."""
        with self._lock:
            self._live.discard(generation)
            if generation.finish_reason is not None and self._crashed.get(attempt.prompt.text) is attempt:
                del self._crashed[attempt.prompt.text]

    def _next_reply(self, prompt: Prompt, config: GenerationConfig) -> Reply:
        """Called under the lock: the first `when` that fits, else the next in the queue."""
        asked = question(prompt)
        for reply in self._replies:
            if reply.when is not None and reply.when in asked:
                return reply
        for reply in self._replies:
            if reply.when is None:
                self._replies.remove(reply)
                return reply
        if self._otherwise is None:
            raise BackendError("The script has no reply left.", hint="Queue more, or give `otherwise`.")
        return _as_reply(self._otherwise(prompt, config) if callable(self._otherwise) else self._otherwise)


def _as_reply(reply: Reply | str) -> Reply:
    return Reply(text=reply) if isinstance(reply, str) else reply


def _hash_vector(text: str, size: int) -> list[float]:
    digest = hashlib.shake_256(text.encode()).digest(size)
    norm = sum(byte * byte for byte in digest) ** 0.5 or 1.0
    return [byte / norm for byte in digest]
