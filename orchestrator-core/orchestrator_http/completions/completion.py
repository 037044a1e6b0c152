"""One OpenAI-style completion: what the client sees of one run, or of two.

Whether the client streams or not, it gets the same deltas; a client that does not stream
gets them added up.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from orchestrator_core.backend import TokenLogprob
from orchestrator_core.errors import BackendError
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.text.answer_format import AnswerFormat
from orchestrator_core.text.answer_reader import AnswerReader, Part, Said, Thought
from orchestrator_core.text.call_parser import Call, CallParser
from orchestrator_core.text.call_values import Incomplete

from orchestrator_http.completions.deltas import (
    CallArguments,
    CallBegins,
    Delta,
    Finished,
    Text,
    Thinking,
    json_object,
)
from orchestrator_http.completions.json_schemas import is_valid, read_json
from orchestrator_http.completions.tools import CallReader, Toolbox
from orchestrator_http.completions.watching import failure
from orchestrator_http.schemas.openai_answers import FinishReason

if TYPE_CHECKING:
    from orchestrator_core.runs.run import Run
    from orchestrator_core.runs.spec import RunEvent


@dataclass(slots=True)
class Heard:
    """What a run said, filled while it is listened to."""

    text: str = ""
    reason: FinishReason = "stop"
    cut_off: bool = False
    """By `max_tokens`, or because somebody stopped the run."""
    logprobs: list[TokenLogprob] = field(default_factory=list)
    """Of text that is still to be shown."""

    def taken_logprobs(self) -> tuple[TokenLogprob, ...]:
        logprobs, self.logprobs = tuple(self.logprobs), []
        return logprobs

    def finish(self, reason: str | None) -> None:
        self.reason = "length" if reason == "length" else "stop"
        self.cut_off = reason in ("length", "cancelled")


ATTEMPTS = 2
"""Runs for one answer that must follow a schema."""


class Completion:
    """
    Args:
        start: starts a run with this configuration; called once or twice.
        watch: a run's events, as `Watcher.events`.
        config: sampling; carries the schema of a `response_format`.
        shown: what the client has of the answer already, and the runs continue.
        toolbox: the tools the model may call, if any.
        forced: the model must call: one tool's name, or "" for any of them; None: it chooses.
        parallel: it may call several tools at once.
        kept: the run outlives its client: its answer is stored.
        form: how the model writes calls and thoughts, asked for once it is there; None: all it says is text.
        sure: whether text that a model here writes under a schema follows it for certain, so that it may
            be shown before it is whole. It is checked all the same, but then it can only be taken back by
            an error.
    """

    def __init__(
        self,
        start: Callable[[GenerationConfig], Run],
        watch: Callable[[Run], Iterator[RunEvent | None]],
        config: GenerationConfig,
        *,
        shown: str = "",
        toolbox: Toolbox | None = None,
        forced: str | None = None,
        parallel: bool = True,
        kept: bool = False,
        form: Callable[[], AnswerFormat] | None = None,
        sure: Callable[[dict[str, Any]], bool] = lambda schema: False,
    ) -> None:
        self._start = start
        self._watch = watch
        self._config = config
        self._shown = shown
        self._toolbox = toolbox
        self._forced = forced
        self._parallel = parallel
        self._kept = kept
        self._learned_form = form
        self._form: AnswerFormat | None = None
        self._sure = sure
        self._usage: dict[str, int] = {}
        self.run: Run | None = None

    def begin(self) -> Run:
        """Start the first run."""
        config = self._config
        self._form = self._learned_form() if self._learned_form else None
        if self._toolbox is not None and self._forced is not None:
            config = _forced_config(self._toolbox, config, self._forced or None)
        elif self._toolbox is not None:
            config = config.having({"json_schema": None})  # It may call a tool instead.
        if self._form is not None and self._form.tokens and config.json_schema is None:
            config = config.having({"visible_tokens": list(self._form.tokens)})
        self.run = self._start(config)
        return self.run

    def cancel(self) -> None:
        """The client is gone: end the run that is going on, unless it is kept; one that is over stays as it
        is."""
        if self.run is not None and not self._kept:
            self.run.cancel()

    def deltas(self) -> Iterator[Delta]:
        """
        Raises:
            ProblemError: a run failed. BackendError: the backend did not follow the schema.
        """
        run = self.run or self.begin()
        if self._toolbox is None:
            yield from self._text(run)
        elif self._forced is not None:
            yield from self._forced_call(run, self._toolbox, self._forced or None)
        else:
            yield from self._free(run, self._toolbox)

    def _text(self, run: Run) -> Iterator[Delta]:
        schema = self._config.json_schema
        if schema is not None and not self._sure(schema):
            yield from self._checked(
                run, self._config, lambda text: _valid_text(self._shown, text, schema), "stop"
            )
            return
        heard = Heard()
        reader = self._reader(run, {}) if schema is None else None
        for part in self._parts(run, heard, reader):
            yield _delta(part, heard)
        if schema is not None and not heard.cut_off:
            _valid_text(self._shown, heard.text, schema)
        yield self._finished(heard.reason)

    def _free(self, run: Run, toolbox: Toolbox) -> Iterator[Delta]:
        """Calls are passed on as they become whole; what only looks like one is text."""
        heard, schema = Heard(), self._config.json_schema
        said, calls, invalid = "", 0, ""
        for part in self._parts(run, heard, self._reader(run, toolbox.schemas)):
            match part:
                case Call() if not toolbox.valid(part):
                    invalid = invalid or part.name
                case Call() if self._parallel or not calls:
                    yield from _whole_call(calls, part)
                    calls += 1
                case Said(text) if schema is not None:
                    said += text
                case None | Said() | Thought():
                    yield _delta(part, heard)
        if invalid and not calls and not heard.cut_off:
            self.run = self._start(_forced_config(toolbox, self._config, invalid))
            yield from self._forced_call(self.run, toolbox, invalid)
        elif calls or schema is None:
            yield self._finished("tool_calls" if calls else heard.reason)
        else:
            yield from self._structured(said, schema, heard)

    def _reader(self, run: Run, tools: Mapping[str, dict[str, Any]]) -> AnswerReader | None:
        if self._form is None:
            return None
        thinking = not self._shown and self._form.begins_thinking(run.spec.prompt.text)
        return AnswerReader(self._form, tools, thinking=thinking)

    def _parts(self, run: Run, heard: Heard, reader: AnswerReader | None) -> Iterator[Part | None]:
        for piece in self._listen(run, heard):
            if piece is None or isinstance(piece, Thought):
                yield piece
            elif reader is None:
                yield Said(piece)
            else:
                yield from reader.feed(piece)
        if reader is not None:
            yield from reader.finish(cut_off=heard.cut_off)

    def _structured(self, text: str, schema: dict[str, Any], heard: Heard) -> Iterator[Delta]:
        """The model chose to answer rather than to call: what it said if it follows the schema, else
        an answer that is held to it."""
        try:
            deltas = _valid_text(self._shown, text, schema)
        except BackendError:
            self.run = self._start(self._config)
            yield from self._text(self.run)
            return
        yield from deltas
        yield self._finished(heard.reason)

    def _forced_call(self, run: Run, toolbox: Toolbox, only: str | None) -> Iterator[Delta]:
        if self._sure(toolbox.schema(only)):
            yield from self._streamed_call(run, toolbox)
        else:
            config = _forced_config(toolbox, self._config, only)
            yield from self._checked(run, config, lambda text: _valid_call(text, toolbox), "tool_calls")

    def _streamed_call(self, run: Run, toolbox: Toolbox) -> Iterator[Delta]:
        """The grammar vouches for the call, so its arguments are passed on as they come."""
        reader, arguments, heard = CallReader(), "", Heard()
        for piece in self._listen(run, heard):
            if not isinstance(piece, str):
                yield _delta(piece, heard)
                continue
            more = reader.feed(piece)
            if more and not arguments:
                yield CallBegins(0, _call_id(), reader.name or "")
            if more:
                arguments += more
                yield CallArguments(0, more)
        if heard.cut_off and not reader.complete:
            yield self._finished(heard.reason)
            return
        if not arguments:  # Its fields came in another order.
            yield from _valid_call(heard.text, toolbox)
        elif not toolbox.valid(Call(reader.name or "", json_object(arguments) or {})):
            raise _not_followed()
        yield self._finished("tool_calls")

    def _checked(
        self,
        run: Run,
        config: GenerationConfig,
        read: Callable[[str], list[Delta]],
        reason: FinishReason,
    ) -> Iterator[Delta]:
        """The text is checked before the client sees it, and made again where it fails. One that is cut off
        is shown as it is: its finish reason says so.

        Args:
            config: of the run; further attempts vary its sampling.
            read: the deltas of a text that is valid; raises BackendError otherwise.
        """
        for attempt in range(1, ATTEMPTS + 1):
            heard = Heard()
            for piece in self._listen(run, heard):
                if not isinstance(piece, str):
                    yield _delta(piece, heard)
            if heard.cut_off:
                if reason != "tool_calls" and heard.text:
                    yield Text(heard.text, heard.taken_logprobs())
                yield self._finished(heard.reason)
                return
            try:
                deltas = read(heard.text)
            except BackendError:
                if attempt == ATTEMPTS:
                    raise
                run = self.run = self._start(_again(config, attempt))
                continue
            for delta in deltas:
                yield replace(delta, logprobs=heard.taken_logprobs()) if isinstance(delta, Text) else delta
            yield self._finished(reason)
            return

    def _listen(self, run: Run, heard: Heard) -> Iterator[str | Thought | None]:
        """The run's text in pieces, the thoughts that the run itself told apart, None for silence; `heard` is
        filled with the text on the way."""
        for event in self._watch(run):
            if event is None:
                yield None
            elif event.kind == "token":
                heard.text += event.data["token"]
                yield event.data["token"]
            elif event.kind == "logprobs":
                heard.logprobs += event.data["logprobs"]
            elif event.kind == "thinking":
                yield Thought(event.data["thinking"])
            elif event.kind == "error":
                raise failure(run, event)
            elif event.kind == "done":
                heard.finish(event.data.get("finish_reason"))
                self._count(event.data.get("usage") or {})

    def _count(self, usage: dict[str, int]) -> None:
        """Two runs count as one prompt and both answers."""
        before = self._usage.get("completion_tokens", 0)
        self._usage = {**usage, **self._usage}
        self._usage["completion_tokens"] = before + usage.get("completion_tokens", 0)

    def _finished(self, reason: FinishReason) -> Finished:
        return Finished(reason, self._usage)


def _forced_config(toolbox: Toolbox, config: GenerationConfig, only: str | None) -> GenerationConfig:
    """Stop texts are left out: one inside an argument would cut the JSON."""
    fields: dict[str, Any] = {"json_schema": toolbox.schema(only), "grammar": None, "stop": []}
    return config.having(fields)


def _again(config: GenerationConfig, attempt: int) -> GenerationConfig:
    """For a further attempt: it samples, and with another seed, or it would say the same."""
    fields: dict[str, Any] = {"greedy": False, "temperature": max(config.temperature, 0.7)}
    fields["seed"] = None if config.seed is None else (config.seed + attempt) % 2**32
    return config.having(fields)


def _valid_text(shown: str, text: str, schema: dict[str, Any]) -> list[Delta]:
    """
    Args:
        shown: what came before the text.

    Raises:
        BackendError: together they are not JSON, or not of this schema.
    """
    try:
        value = read_json(shown + text)
    except ValueError:
        raise _not_followed() from None
    if not is_valid(value, schema):
        raise _not_followed()
    return [Text(text)]


def _valid_call(text: str, toolbox: Toolbox) -> list[Delta]:
    """
    Raises:
        BackendError: the text is not one call of a known tool with valid arguments.
    """
    try:
        calls, _, _ = CallParser(AnswerFormat(), toolbox.schemas).read(text, at_start=True)
    except (ValueError, Incomplete):
        raise _not_followed() from None
    if len(calls) != 1 or not toolbox.valid(calls[0]):
        raise _not_followed()
    return _whole_call(0, calls[0])


def _not_followed() -> BackendError:
    return BackendError(
        "The model's answer does not follow the JSON schema, although it was told to.",
        hint="This backend may not support JSON schemas, or not every keyword of this one.",
        code="schema_not_followed",
    )


def _whole_call(index: int, call: Call) -> list[Delta]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return [CallBegins(index, _call_id(), call.name), CallArguments(index, arguments)]


def _delta(part: Part | None, heard: Heard) -> Delta:
    """Of a part that is no call. Of thoughts nobody is told how likely they were."""
    match part:
        case Said(text):
            return Text(text, heard.taken_logprobs())
        case Thought(text):
            heard.taken_logprobs()
            return Thinking(text)
    return None


def _call_id() -> str:
    """Nine letters and digits: the form Mistral's templates insist on."""
    return secrets.token_hex(5)[:9]
