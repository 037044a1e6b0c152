"""One answer of the scripted backend: says its reply token by token, and misbehaves where that says so."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from orchestrator_core.backend import FinishReason, Generation, Prompt, Token, Usage
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.text.answer import AnswerText
from support.scripted.script import Reply, trouble


@dataclass(slots=True)
class Attempt:
    """A reply to a prompt, and how often it has crashed already."""

    prompt: Prompt
    reply: Reply
    crashes: int = 0


class Stage(Protocol):
    """What an answer tells the backend."""

    def pause(self, reply: Reply, cancelled: threading.Event) -> None: ...
    def crashed(self, attempt: Attempt) -> None: ...
    def ended(self, generation: ScriptedGeneration, attempt: Attempt) -> None: ...


class ScriptedGeneration(Generation):
    """One scripted answer. It is produced in the thread that iterates it.

    Args:
        usage: with the prompt's tokens.
        room: tokens that the window leaves it.
    """

    def __init__(
        self,
        stage: Stage,
        config: GenerationConfig,
        continue_from: str,
        attempt: Attempt,
        usage: Usage,
        *,
        room: int,
    ) -> None:
        self._stage = stage
        self._config = config
        self._shown = continue_from
        self._attempt = attempt
        self._reply = attempt.reply
        self._cancelled = threading.Event()
        self._room = room
        self.usage = usage
        self._tokens = self._produce()

    def __iter__(self) -> Iterator[Token]:
        return self._tokens

    def cancel(self) -> None:
        self._cancelled.set()
        if self._reply.gate is not None:
            self._reply.gate.wake()

    def _produce(self) -> Iterator[Token]:
        answer = AnswerText(self._config.stop, self._shown)
        try:
            self.finish_reason = yield from self._say(answer)
            last = answer.flush(cut_off=self.finish_reason is not FinishReason.STOP)
            if last is not None:
                yield last
        except GeneratorExit:
            # Dropped half-way, maybe by the garbage collector in the middle of any code: take no lock
            # here. The backend's weak set forgets this answer by itself.
            raise
        except BaseException:
            self._stage.ended(self, self._attempt)
            raise
        self._stage.ended(self, self._attempt)

    def _say(self, answer: AnswerText) -> Generator[Token, None, FinishReason]:
        """Yields tokens; its return value is the reason why the answer ended."""
        reply = self._reply
        position, rest = _remaining(reply.pieces(self._config), self._shown.encode())
        limit = self._config.limit(self._room)
        for made, piece in enumerate([*rest, None]):
            at = position + made
            if (
                self._attempt.crashes < len(reply.crash_after)
                and at >= reply.crash_after[self._attempt.crashes]
            ):
                self._stage.crashed(self._attempt)
                raise trouble(reply.failure)
            if reply.hang_after is not None and at >= reply.hang_after:
                self._cancelled.wait()
            if made >= limit or (reply.cut_after is not None and at >= reply.cut_after):
                return FinishReason.CANCELLED if self._cancelled.is_set() else FinishReason.LENGTH
            if not self._cancelled.is_set() and piece is not None:
                self._stage.pause(reply, self._cancelled)
            if self._cancelled.is_set():
                return FinishReason.CANCELLED
            if piece is None:
                return FinishReason.STOP
            self.usage = Usage(self.usage.prompt_tokens, made + 1, self.usage.cached_tokens)
            token = answer.feed(piece)
            if token is not None:
                yield token
            if answer.stopped:
                return FinishReason.STOP
        raise AssertionError("unreachable: the loop ends with None")


def _remaining(pieces: list[bytes], shown: bytes) -> tuple[int, list[bytes]]:
    """Tokens already consumed, and those that follow what was shown.

    A reply that does not begin with the text shown is taken to be what follows it.
    """
    if not b"".join(pieces).startswith(shown):
        return 0, pieces
    left = len(shown)
    for position, piece in enumerate(pieces):
        if left < len(piece):
            return position, [piece[left:], *pieces[position + 1 :]]
        left -= len(piece)
    return len(pieces), []
