"""A run whose text another tier produces, and which this tier goes on with when that one is lost."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from orchestrator_core.backend import FinishReason, Token, Usage
from orchestrator_core.errors import OrchestratorError, TierLost, TierRefused, TierUnreachable, from_body
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.source import Attempt, Seam, Source
from orchestrator_core.runs.spec import Relayed, RunSpec
from orchestrator_core.tiers.answer_ids import taken_over
from orchestrator_core.tiers.remote import RemoteResponse, RemoteTier
from orchestrator_core.tiers.run_stream import RunStream, StreamEvent

STOP_S = 4.0
"""How long a cancelled run waits for the other tier's last words. Less than who cancelled waits."""

RETURN_S = 8.0
"""How long a run that this server's restart interrupted waits for the other tier to be back: it
needs a moment to notice and to dial again, and its model is the better one."""

LOOK_EVERY_S = 0.1

TakeOver = Callable[[Run, str], RunSpec]
"""The spec with which this tier goes on: its own prompt and receipt. Raises OrchestratorError."""

_log = logging.getLogger(__name__)


class RelayedSource:
    """
    Args:
        tier: this one.
        remote: the other; None: this server knows none since it was restarted.
        response: the other tier's event stream; None: this server was restarted since.
        own: this tier's model.
    """

    def __init__(
        self,
        tier: str,
        remote: RemoteTier | None,
        response: RemoteResponse | None,
        own: Source,
        take_over: TakeOver,
    ) -> None:
        self._tier = tier
        self._remote = remote
        self._response = response
        self._own = own
        self._take_over = take_over

    def attempt(self, run: Run) -> Attempt | None:
        relayed = run.spec.relayed
        if relayed is not None and not relayed.lost:
            return self._passed_on(run, relayed)
        if relayed is not None:
            run.respec(self._take_over(run, run.spec.reason))
        return self._own.attempt(run)

    def speaker(self, run: Run) -> tuple[str, str]:
        if run.spec.relayed is not None:
            return run.spec.tier, run.spec.model
        return self._own.speaker(run)

    def close(self) -> None:
        response = self._response
        if response is not None:
            response.close()

    def _passed_on(self, run: Run, relayed: Relayed) -> Attempt:
        shown = run.text
        try:
            if self._remote is None:
                raise TierUnreachable("it is not connected any more")
            if self._response is None:
                self._response = self._found_again(self._remote, run, relayed)
        except TierUnreachable as error:
            if _only_left(run):
                raise
            raise give_up(run, self._tier, str(error)) from error
        return RelayedAttempt(run, relayed, self._tier, self._remote, self._response, shown, run.thoughts)

    @staticmethod
    def _found_again(remote: RemoteTier, run: Run, relayed: Relayed) -> RemoteResponse:
        """The run's stream from its beginning, after a restart of this server."""
        left = RETURN_S
        while not remote.state().reachable:
            if left <= 0 or run.woken.wait(LOOK_EVERY_S):
                raise TierUnreachable(f"the {relayed.tier} is away")
            left -= LOOK_EVERY_S
        response = remote.open("GET", f"/runs/{relayed.run_id}/stream?from=0")
        if response.status != 200:
            response.close()
            raise TierLost("it does not know the answer any more")
        return response


class RelayedAttempt:
    """What the other tier says, as long as it does.

    Args:
        shown, thoughts: beginning of the answer that was shown already; the stream repeats it.
    """

    def __init__(
        self,
        run: Run,
        relayed: Relayed,
        tier: str,
        remote: RemoteTier,
        response: RemoteResponse,
        shown: str,
        thoughts: str,
    ) -> None:
        self.usage = Usage()
        self.finish_reason: FinishReason | None = None
        self._run = run
        self._relayed = relayed
        self._tier = tier
        self._remote = remote
        self._response = response
        self._repeated = shown
        self._repeated_thoughts = thoughts
        self._before = run.produced
        self._lock = threading.Lock()
        self._stopping = False
        self._over = threading.Event()

    def __iter__(self) -> Iterator[Token | Seam]:
        stream = RunStream()
        try:
            for chunk in self._response.chunks():
                for event in stream.feed(chunk):
                    yield from self._said(event)
                    if self.finish_reason is not None:
                        return
            raise TierLost("its answer broke off")
        except TierUnreachable as error:
            if _only_left(self._run):
                return
            raise give_up(self._run, self._tier, str(error)) from error
        finally:
            self._over.set()
            self._response.close()

    def cancel(self) -> None:
        """Have the other tier stop and say its last words; when this server stops, only leave."""
        if not self._run.cancelled:
            self._response.close()
            return
        with self._lock:
            if self._stopping or self._over.is_set():
                return
            self._stopping = True
        threading.Thread(target=self._stop_there, name=f"stop-{self._run.run_id}", daemon=True).start()

    def _stop_there(self) -> None:
        try:
            answer = self._remote.open("DELETE", f"/runs/{self._relayed.run_id}", timeout_s=STOP_S)
            answer.close()
        except OrchestratorError as error:
            _log.info("Run %s was not stopped at the %s: %s", self._run.run_id, self._relayed.tier, error)
        if not self._over.wait(STOP_S):
            self._response.close()

    def _said(self, event: StreamEvent) -> Iterator[Token | Seam]:
        match event.name:
            case "token":
                text = self._new(event.data["token"])
                if text:
                    yield Token(text)
            case "thinking":
                text = self._new_thought(event.data["thinking"])
                if text:
                    yield Token(text, is_thought=True)
            case "seam" if not (self._repeated or self._repeated_thoughts):
                yield Seam(*(str(event.data.get(name) or "") for name in ("tier", "model", "reason")))
            case "error":
                raise TierRefused(from_body(event.data))
            case "done":
                rest = self._unsaid(event.data)
                if rest:
                    yield Token(rest)
                self._end(event.data)

    def _new(self, text: str) -> str:
        """What of these words was not shown before."""
        repeated = self._repeated
        if text.startswith(repeated):
            self._repeated = ""
            return text[len(repeated) :]
        if not repeated.startswith(text):
            raise TierLost("it says something else now")
        self._repeated = repeated[len(text) :]
        return ""

    def _new_thought(self, text: str) -> str:
        """As `_new`. What was thought anew there is shown anew."""
        repeated = self._repeated_thoughts
        if repeated.startswith(text):
            self._repeated_thoughts = repeated[len(text) :]
            return ""
        self._repeated_thoughts = ""
        return text.removeprefix(repeated)

    def _unsaid(self, done: dict[str, Any]) -> str:
        """What the whole answer has and its tokens lacked: nothing, of an honest tier."""
        shown, whole = self._run.text, done.get("response")
        if not isinstance(whole, str) or not whole.startswith(shown):
            raise TierLost("its answer is not what it said")
        return whole[len(shown) :]

    def _end(self, done: dict[str, Any]) -> None:
        spec, receipt = self._run.spec, done.get("receipt")
        self.usage = _usage(done.get("usage"), self._before)
        self._run.respec(
            replace(
                spec,
                message_id=_text(done, "message_id"),
                tier=_text(done, "tier") or spec.tier,
                model=_text(done, "model") or spec.model,
                reason=_text(done, "reason") or spec.reason,
                receipt=receipt if isinstance(receipt, dict) else {},
                supersedes=_text(done, "supersedes"),
                relayed=None,
            )
        )
        try:
            self.finish_reason = FinishReason(done.get("finish_reason") or "stop")
        except ValueError:
            self.finish_reason = FinishReason.STOP
        self._over.set()
        if self.finish_reason is FinishReason.CANCELLED:
            self._run.cancel()  # somebody stopped it there


def give_up(run: Run, tier: str, why: str) -> TierLost:
    """Note that another tier was lost, so that this one goes on; the error says how it is told.

    From now on the answer is this tier's, whatever the other one makes of it: it is stored beside
    the other's, as what was shown.
    """
    spec = run.spec
    relayed = spec.relayed
    assert relayed is not None, "only a relayed run can be given up by another tier"
    where = "in mid-answer" if run.has_text else "before it said anything"
    reason = f"the {relayed.tier} was lost {where} ({why[:1].lower()}{why[1:].rstrip('.')})"
    answer = taken_over(relayed.run_id, tier, relayed.tier)
    run.respec(
        replace(
            spec,
            message_id=answer.message_id,
            supersedes=answer.supersedes,
            reason=reason,
            receipt={},
            relayed=replace(relayed, lost=True),
        )
    )
    return TierLost(reason)


def _only_left(run: Run) -> bool:
    """Whether the run was left because this server stops: it asks again after its restart."""
    return run.stop_wanted and not run.cancelled


def _usage(stated: Any, before: int) -> Usage:
    numbers = {}
    for name in ("prompt_tokens", "completion_tokens", "cached_tokens"):
        number = stated.get(name) if isinstance(stated, dict) else None
        numbers[name] = number if isinstance(number, int) and number >= 0 else 0
    numbers["completion_tokens"] = max(0, numbers["completion_tokens"] - before)
    return Usage(**numbers)


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    with contextlib.suppress(UnicodeEncodeError):
        if isinstance(value, str) and value.encode():
            return value
    return None
