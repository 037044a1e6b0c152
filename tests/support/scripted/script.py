"""What the `scripted` backend says and how it misbehaves: replies, gates, script files.

A script file (YAML, or JSON, which YAML contains) looks like this:

    context_length: 4096        # all keys are optional
    token_delay_s: 0.02
    replies:                    # `when` first, else in order, each once
      - text: "Hello! 🦜"
        split: bytes            # words | characters | bytes
        crash_after: [3]        # the engine dies after 3 tokens, then continues
      - when: "too long"        # every prompt whose last message contains this
        refuse: context_length_exceeded
    otherwise: {text: "I have nothing more to say."}    # default: echo the question
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import yaml
from orchestrator_core.errors import (
    BackendTimeout,
    BackendUnreachable,
    ConfigurationError,
    ContextLengthExceeded,
    EngineLost,
    ModelNotFound,
    OrchestratorError,
    Overloaded,
)
from orchestrator_core.generation import GenerationConfig
from pydantic import BaseModel, ConfigDict, Field, ValidationError

CONTROL_TOKENS = ("<s>", "</s>", "[INST]", "[/INST]")
"""Control tokens of the scripted model; `<s>` is BOS and `</s>` EOS, as with Mistral."""

_CONTROL = re.compile("(" + "|".join(re.escape(token) for token in CONTROL_TOKENS) + ")")
_WORD = re.compile(r"[ ]?(?:[^\W\d_]{1,8}|\d{1,3}|[^\w\s]|_)|.", re.DOTALL)

Trouble = Literal["overloaded", "context_length_exceeded", "engine_lost", "unreachable", "timeout"]


def words(text: str) -> list[str]:
    """The tokens of `text`; joined they are the text again.

    A token is a control token; or up to 8 letters, up to 3 digits or one other sign, each
    with the space before it; or one character that is none of these.
    """
    tokens: list[str] = []
    for part in _CONTROL.split(text):
        tokens.extend([part] if part in CONTROL_TOKENS else _WORD.findall(part))
    return tokens


class Gate:
    """Lets tokens pass when a test says so, so that no test has to sleep."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._allowed = 0
        self._open = False
        self._blocked = 0

    def allow(self, tokens: int = 1) -> None:
        """Let this many more tokens pass."""
        with self._changed:
            self._allowed += tokens
            self._changed.notify_all()

    def open(self) -> None:
        """Let everything pass from now on."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def wait_blocked(self, answers: int = 1, timeout: float = 10.0) -> bool:
        """Wait until so many answers stand at the gate; False when it took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._blocked >= answers, timeout)

    def pass_through(self, cancelled: threading.Event) -> None:
        """Called by an answer before each token: blocks until allowed or cancelled."""
        with self._changed:
            self._blocked += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._open or self._allowed > 0 or cancelled.is_set())
            self._blocked -= 1
            if not self._open and not cancelled.is_set():
                self._allowed -= 1

    def wake(self) -> None:
        """Called after an answer was cancelled, so that it notices."""
        with self._changed:
            self._changed.notify_all()


class Reply(BaseModel):
    """One answer. Counts of tokens are counted from the beginning of the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    text: str | tuple[str, ...] = ""
    """Of several texts a greedy request gets the first, any other one chosen by its seed."""
    tokens: tuple[str | bytes, ...] | None = None
    """The exact tokens, instead of `text`; bytes may hold half a character."""
    split: Literal["words", "characters", "bytes"] = "words"
    delay_s: float | None = Field(None, ge=0)
    """Wait before each token; None: the backend's."""
    gate: Gate | None = None
    """Asked before each token."""
    crash_after: tuple[int, ...] = ()
    """The first attempt ends with `failure` after this many tokens, the next attempt after the
    next number, and so on. Attempts of the same prompt continue the same reply."""
    failure: OrchestratorError | Trouble = "engine_lost"
    down_for: int = Field(0, ge=0)
    """After a crash, so many calls of `generate` find the engine still restarting."""
    cut_after: int | None = Field(None, ge=0)
    """The answer ends here with LENGTH, as if the window were full."""
    hang_after: int | None = Field(None, ge=0)
    """Nothing more comes after so many tokens, until the answer is cancelled."""
    refuse: OrchestratorError | Trouble | None = None
    """`generate` raises this."""
    cached_tokens: int = Field(0, ge=0)
    """Reported in the usage, so that what shows it can be tested."""
    when: str | None = None
    """Only for prompts whose last message (raw prompts: whose text) contains this."""

    def pieces(self, config: GenerationConfig) -> list[bytes]:
        """The tokens of this answer for this request."""
        if self.tokens is not None:
            return [piece.encode() if isinstance(piece, str) else piece for piece in self.tokens]
        text = self.text if isinstance(self.text, str) else self._chosen(self.text, config)
        if self.split == "bytes":
            return [bytes([byte]) for byte in text.encode()]
        return [piece.encode() for piece in (words(text) if self.split == "words" else text)]

    @staticmethod
    def _chosen(texts: Sequence[str], config: GenerationConfig) -> str:
        return texts[0] if config.is_greedy else random.Random(config.seed).choice(texts)


def trouble(what: OrchestratorError | Trouble) -> OrchestratorError:
    """The error that a script names, freshly made."""
    if isinstance(what, OrchestratorError):
        return what
    match what:
        case "overloaded":
            return Overloaded("The script refuses: the queue is full.", retry_after_s=1)
        case "context_length_exceeded":
            return ContextLengthExceeded("The script refuses: the prompt is too long.")
        case "unreachable":
            return BackendUnreachable("The script broke the connection.")
        case "timeout":
            return BackendTimeout("The script did not answer in time.")
        case "engine_lost":
            return EngineLost("The script crashed the engine.")


class Script(BaseModel):
    """The content of a script file."""

    model_config = ConfigDict(extra="forbid")

    context_length: int = Field(8192, ge=64)
    token_delay_s: float = Field(0.0, ge=0)
    load_delay_s: float = Field(0.0, ge=0)
    replies: list[Reply] = Field(default_factory=list)
    otherwise: Reply | None = None
    """Said when no reply is left; None: the question comes back."""


def read_script(path: Path) -> Script:
    """The script in a YAML or JSON file.

    Raises:
        ModelNotFound: no such file.
        ConfigurationError: it is not a script; names the key and the value.
    """
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelNotFound(
            f"The scripted backend found no script at {str(path)!r}.",
            hint="Give model.path a YAML or JSON script file, or `echo`.",
        ) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"Cannot read the script {str(path)!r}: {error}") from error
    try:
        return Script.model_validate({} if content is None else content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise ConfigurationError(
            f"The script {str(path)!r} is not valid at {key}: {problem['msg']} (given: {problem.get('input')!r})."
        ) from error
