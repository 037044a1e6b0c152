"""One answer streamed by an OpenAI-compatible server."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Generator, Iterator

from orchestrator_core.backend import FinishReason, Generation, Token, Usage
from orchestrator_core.backends.openai_dialect import Joint
from orchestrator_core.backends.openai_http import OpenAIClient, StreamingRequest
from orchestrator_core.backends.openai_wire import (
    Delta,
    ProtocolError,
    ServerError,
    error_for,
    finish_reason,
    read_delta,
)
from orchestrator_core.errors import (
    BackendTimeout,
    BackendUnreachable,
    ContextLengthExceeded,
    OrchestratorError,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.text.answer import AnswerText


class OpenAIGeneration(Generation):
    """One streamed answer. Token counts are one per chunk: at least that many."""

    def __init__(
        self,
        stream: StreamingRequest,
        config: GenerationConfig,
        continue_from: str,
        *,
        joint: Joint,
        prompt_tokens: int,
        where: tuple[OpenAIClient, str],
    ) -> None:
        self._stream = stream
        self._answer = AnswerText(config.stop, continue_from)
        self._joint = joint
        self._client, self._model = where
        self._cancelled = threading.Event()
        self._chunks = 0
        self._finish: str | None = None
        self._stated_usage: Usage | None = None
        self.usage = Usage(prompt_tokens)
        self._tokens: Generator[Token, None, None] | None = None
        weakref.finalize(self, stream.close)

    def __iter__(self) -> Iterator[Token]:
        if self._tokens is None:
            self._tokens = self._produce()
        return self._tokens

    def cancel(self) -> None:
        self._cancelled.set()
        self._stream.close()

    @property
    def ended(self) -> bool:
        return self._stream.closed

    def _produce(self) -> Generator[Token, None, None]:
        try:
            yield from self._read()
        except OrchestratorError as error:
            complete = self._finish not in (None, "error")
            if not complete and not self._cancelled.is_set():
                raise self._lost(error) from error
        finally:
            self._stream.close()
        if self._cancelled.is_set():
            self.finish_reason = FinishReason.CANCELLED
        else:
            self.finish_reason = FinishReason.STOP if self._answer.stopped else finish_reason(self._finish)
        rest = self._joint.flush()
        for token in (
            self._answer.feed(rest, 0) if rest else None,
            self._answer.flush(cut_off=self.finish_reason is not FinishReason.STOP),
        ):
            if token is not None:
                yield token

    def _read(self) -> Generator[Token, None, None]:
        """Tokens until the answer is complete; raises when it breaks off."""
        for payload in self._stream:
            if payload.strip() == "[DONE]":
                self._finish = self._finish or "stop"
                break
            delta = self._understood(payload)
            self._note(delta)
            text = self._joint.feed(delta.text) if delta.text else ""
            token = self._answer.feed(text) if text else None
            if token is not None:
                yield token
            if self._answer.stopped:
                return
        if self._finish == "error":
            raise BackendUnreachable(
                f"The server {self._client.url} reports an error in the middle of the answer."
            )
        if self._finish is None and not self._cancelled.is_set():
            raise BackendUnreachable(
                f"The server {self._client.url} broke off the answer.",
                # Some servers accept a prompt that is too long, and then fail without a word.
                hint=None
                if self._chunks
                else "Is the prompt longer than the server's window? Set model.context_length.",
            )

    def _note(self, delta: Delta) -> None:
        self._finish = delta.finish or self._finish
        self._stated_usage = delta.usage or self._stated_usage
        self._chunks += bool(delta.text)
        self.usage = self._stated_usage or Usage(self.usage.prompt_tokens, self._chunks)

    def _understood(self, payload: str) -> Delta:
        try:
            return read_delta(payload)
        except ServerError as error:
            text = self._client.redact(error.text)
            raise error_for(error.status, text, {}, server=self._client.url, model=self._model) from error
        except ProtocolError as error:
            raise self._client.failure(error) from error

    def _lost(self, error: OrchestratorError) -> OrchestratorError:
        """Once text was shown a failure is one that may pass: the run can go on from that text."""
        if self._chunks == 0 or isinstance(
            error, BackendUnreachable | BackendTimeout | ContextLengthExceeded
        ):
            return error
        return BackendUnreachable(f"The answer broke off: {error.message}", hint=error.hint)
