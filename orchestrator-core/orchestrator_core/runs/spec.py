"""The values a run is described by: what is asked, what is seen, what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from orchestrator_core.backend import FinishReason, Prompt, Usage
from orchestrator_core.errors import ApplicationError
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.text.answer_format import AnswerFormat


class RunState(StrEnum):
    """Where a run stands. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (RunState.DONE, RunState.FAILED, RunState.CANCELLED)


@dataclass(frozen=True, slots=True)
class Relayed:
    """A run whose text another tier produces.

    Args:
        tier: that tier; `run_id`: the run there.
        request: what was asked besides the message itself, as JSON: with the stored message enough
            to answer it here when that tier is lost.
        lost: it was lost, and this tier has not begun to go on.
    """

    tier: str
    run_id: str
    request: dict[str, Any]
    lost: bool = False


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Everything a run needs to begin, or to begin again after a crash.

    Args:
        run_id: derived from the question's message_id; of runs that are not stored, UUIDv7.
        prompt: what the backend continues.
        config: sampling and limits.
        conversation_id: where the answer belongs, or None.
        message_id: id the answer will be stored under: fixed now, so that it is stored once. None:
            another tier, which produced it, found that its question is gone.
        reply_to: message_id of the question.
        tier: which tier answers; `reason` says why.
        model: the model's name as shown to people.
        receipt: what the answer is made from.
        durable: keep the run in the store, so that it survives the server's process.
        shown: beginning of the answer that the asker has already: it is continued, and is no part
            of the run's own text.
        supersedes: message_id of the answer that this one takes the place of.
        continues: text of that answer, when this one goes on with it: the run's first token.
        relayed: another tier produces the text; the prompt is empty then.
        answer_format: how the model marks its thoughts, which are then kept out of the text (calls are not looked for).
            None: everything the model writes is text.
    """

    run_id: str
    prompt: Prompt
    config: GenerationConfig
    conversation_id: str | None
    message_id: str | None
    reply_to: str | None
    tier: str
    model: str
    reason: str
    receipt: dict[str, Any] = field(default_factory=dict)
    durable: bool = True
    shown: str = ""
    supersedes: str | None = None
    continues: str = ""
    relayed: Relayed | None = None
    answer_format: AnswerFormat | None = None


EventKind = Literal["token", "logprobs", "thinking", "seam", "done", "error"]


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One entry of a run's log.

    Args:
        offset: 1-based and rising by one, except that each restart of the server leaps to a
            new range: an offset that somebody may have seen is never used for anything else.
        kind: token, logprobs, thinking, seam, done or error; the last two end the run.
        data: token `{"token"}`; logprobs, before the token they are of, where they were asked for:
            `{"logprobs"}`, a list of `TokenLogprob`; thinking `{"thinking"}`; seam `{"tier", "model", "reason"}`, after a restart also
            `"from": M`: text that came after offset M was lost, discard it; done: the
            fields of a `/chat` answer with `"done": true` and `finish_reason`; error: the
            error body.
    """

    offset: int
    kind: EventKind
    data: dict[str, Any]

    @property
    def final(self) -> bool:
        return self.kind in ("done", "error")


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came out of a run. Written down without text and message_id before the answer is stored.

    Args:
        state: final, or the state in which the server's shutdown interrupted it.
        seams: every take-over: `{"tier", "model", "reason", "offset", "at"}`; offset 0 when no
            text had been shown yet, so that none is visible; `at`: characters of text before it.
        error: why it failed or was interrupted; raise it.
        text: the answer; with FAILED and CANCELLED the part that was produced.
        message_id: None when no answer was stored.
    """

    state: RunState
    finish_reason: FinishReason | None
    usage: Usage = Usage()  # noqa: RUF009 -- frozen
    seams: tuple[dict[str, Any], ...] = ()
    error: ApplicationError | None = None
    text: str = ""
    message_id: str | None = None
