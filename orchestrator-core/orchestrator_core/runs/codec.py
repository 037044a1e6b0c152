"""A run's values as JSON for the store, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from orchestrator_core.backend import FinishReason, Prompt, Usage
from orchestrator_core.errors import fields_of, from_body
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.runs.event_log import Entry
from orchestrator_core.runs.spec import Relayed, RunResult, RunSpec, RunState
from orchestrator_core.text.answer_format import AnswerFormat


def pack_spec(spec: RunSpec) -> str:
    """Without the prompt, which is stored apart and dropped when the run has ended."""
    fields = {
        name: getattr(spec, name)
        for name in ("run_id", "conversation_id", "message_id", "reply_to", "tier", "model", "reason")
    }
    if spec.shown:
        fields["shown"] = spec.shown
    if spec.supersedes is not None:
        fields["supersedes"] = spec.supersedes
    if spec.continues:
        fields["continues"] = spec.continues
    if spec.relayed is not None:
        fields["relayed"] = asdict(spec.relayed)
    if spec.answer_format is not None:
        fields["answer_format"] = asdict(spec.answer_format)
    return _json({**fields, "receipt": spec.receipt, "config": spec.config.model_dump()})


def pack_prompt(prompt: Prompt) -> str:
    return _json(asdict(prompt))


def unpack_spec(spec: str, prompt: str | None) -> RunSpec:
    fields = json.loads(spec)
    config = GenerationConfig.model_validate(fields.pop("config"))
    relayed = fields.pop("relayed", None)
    form = fields.pop("answer_format", None)
    return RunSpec(
        **fields,
        config=config,
        prompt=_prompt(prompt),
        durable=True,
        relayed=None if relayed is None else Relayed(**relayed),
        answer_format=None if form is None else _answer_format(form),
    )


def pack_result(result: RunResult) -> str:
    error = result.error
    return _json(
        {
            "state": result.state,
            "finish_reason": result.finish_reason,
            "usage": asdict(result.usage),
            "seams": list(result.seams),
            "error": None if error is None else fields_of(error),
        }
    )


def unpack_result(text: str) -> RunResult:
    fields = json.loads(text)
    reason = fields["finish_reason"]
    return RunResult(
        state=RunState(fields["state"]),
        finish_reason=None if reason is None else FinishReason(reason),
        usage=Usage(**fields["usage"]),
        seams=tuple(fields["seams"]),
        error=None if fields["error"] is None else from_body(fields["error"]),
    )


def pack_entries(entries: list[Entry]) -> str:
    return _json(entries)


def unpack_entries(text: str) -> list[Entry]:
    return [entry if isinstance(entry, str) else (entry[0], entry[1]) for entry in json.loads(text)]


def _prompt(text: str | None) -> Prompt:
    if text is None:
        return Prompt(())
    fields = json.loads(text)
    return Prompt(
        pieces=tuple(fields["pieces"]),
        messages=tuple(
            ChatMessage(
                **{**message, "role": Role(message["role"]), "tool_calls": tuple(message["tool_calls"])}
            )
            for message in fields["messages"]
        ),
        tools=tuple(fields["tools"]),
        stable_prefix=fields["stable_prefix"],
    )


def _answer_format(fields: dict[str, Any]) -> AnswerFormat:
    opening, closing = fields["thought"]
    return AnswerFormat((), (opening, closing), fields["content"], tuple(fields["tokens"]))


def _json(value: Any) -> str:
    # ASCII escapes carry even lone surrogates through UTF-8.
    return json.dumps(value, separators=(",", ":"))
