"""One OpenAI-style completion: what the client sees of one run, or of two.

Whether the client streams or not, it gets the same deltas; a client that does not stream
gets them added up.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator_core.errors import BackendError
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.http.shapes.openai_answers import FinishReason
from orchestrator_core.http.tools import Call, CallReader, CallSplitter, Toolbox, find_calls
from orchestrator_core.http.watching import failure

if TYPE_CHECKING:
    from orchestrator_core.runs.run import Run
    from orchestrator_core.runs.spec import RunEvent


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class CallBegins:
    index: int
    call_id: str
    name: str


@dataclass(frozen=True, slots=True)
class CallArguments:
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    reason: FinishReason
    usage: dict[str, int]


Delta = Text | CallBegins | CallArguments | Finished | None
"""None: nothing for a while; a stream sends a ping."""


class Completion:
    """
    Args:
        start: starts a run with this configuration; called once or twice.
        watch: a run's events, as `Watcher.events`.
        config: sampling; carries the schema of a `response_format`.
        toolbox: the tools the model may call, if any.
        forced: the model must call: one tool's name, or "" for any of them; None: it chooses.
    """

    def __init__(
        self,
        start: Callable[[GenerationConfig], Run],
        watch: Callable[[Run], Iterator[RunEvent | None]],
        config: GenerationConfig,
        *,
        toolbox: Toolbox | None = None,
        forced: str | None = None,
    ) -> None:
        self._start = start
        self._watch = watch
        self._config = config
        self._toolbox = toolbox
        self._forced = forced
        self._usage: dict[str, int] = {}
        self.run: Run | None = None

    def begin(self) -> Run:
        """Start the first run."""
        config = self._config
        if self._toolbox is not None and self._forced is not None:
            config = _under(self._toolbox, config, self._forced or None)
        self.run = self._start(config)
        return self.run

    def cancel(self) -> None:
        """End the run that is going on; of one that is over this changes nothing."""
        if self.run is not None:
            self.run.cancel()

    def deltas(self) -> Iterator[Delta]:
        """
        Raises:
            ProblemError: a run failed. BackendError: the backend did not follow the schema.
        """
        run = self.run or self.begin()
        if self._toolbox is None:
            yield from self._plain(run)
        elif self._forced is not None:
            yield from self._forced_call(run, self._toolbox)
        else:
            yield from self._free(run, self._toolbox)

    def _plain(self, run: Run) -> Iterator[Delta]:
        for event in self._events(run):
            if event is None:
                yield None
            elif event.kind == "token":
                yield Text(event.data["token"])
            elif event.kind == "done":
                yield self._finished(_reason(event.data))

    def _free(self, run: Run, toolbox: Toolbox) -> Iterator[Delta]:
        splitter = CallSplitter()
        for event in self._events(run):
            if event is None:
                yield None
            elif event.kind == "token":
                shown = splitter.feed(event.data["token"])
                if shown:
                    yield Text(shown)
            elif event.kind == "done":
                rest = splitter.flush()
                if rest:
                    yield Text(rest)
                if not splitter.calling:
                    yield self._finished(_reason(event.data))
                else:
                    yield from self._held_calls(splitter, toolbox, _reason(event.data))

    def _held_calls(self, splitter: CallSplitter, toolbox: Toolbox, reason: FinishReason) -> Iterator[Delta]:
        calls = find_calls(splitter.held)
        known = [call for call in calls if call.name in toolbox.names]
        if calls and all(toolbox.valid(call) for call in calls):
            for index, call in enumerate(calls):
                yield from _whole_call(index, call)
            yield self._finished("tool_calls")
        elif not splitter.marked and not _names_tool(splitter.held, toolbox):
            yield Text(splitter.held)  # JSON that only looked like a call.
            yield self._finished(reason)
        elif reason == "length":
            yield self._finished(reason)
        else:
            only = known[0].name if known else None
            self.run = self._start(_under(toolbox, self._config, only))
            yield from self._forced_call(self.run, toolbox)

    def _forced_call(self, run: Run, toolbox: Toolbox) -> Iterator[Delta]:
        reader, said, arguments = CallReader(), "", ""
        for event in self._events(run):
            if event is None:
                yield None
            elif event.kind == "token":
                said += event.data["token"]
                more = reader.feed(event.data["token"])
                if more and not arguments:
                    yield CallBegins(0, _call_id(), reader.name or "")
                if more:
                    arguments += more
                    yield CallArguments(0, more)
            elif event.kind == "done":
                cut_off = _reason(event.data) == "length" and not reader.complete
                if not cut_off:
                    yield from _checked(reader, said, arguments, toolbox)
                yield self._finished("length" if cut_off else "tool_calls")

    def _events(self, run: Run) -> Iterator[RunEvent | None]:
        for event in self._watch(run):
            if event is not None and event.kind == "error":
                raise failure(run, event)
            if event is not None and event.kind == "done":
                self._count(event.data.get("usage") or {})
            yield event

    def _count(self, usage: dict[str, int]) -> None:
        """Two runs count as one prompt and both answers."""
        before = self._usage.get("completion_tokens", 0)
        self._usage = {**usage, **self._usage}
        self._usage["completion_tokens"] = before + usage.get("completion_tokens", 0)

    def _finished(self, reason: FinishReason) -> Finished:
        return Finished(reason, self._usage)


@dataclass
class Collected:
    """A completion's deltas, added up."""

    text: str
    calls: list[dict[str, str]]
    reason: FinishReason
    usage: dict[str, int]


def collect(deltas: Iterator[Delta]) -> Collected:
    """All deltas as one. A call that was cut off by `max_tokens` is left out: its arguments
    would be no JSON."""
    texts: list[str] = []
    calls: list[dict[str, str]] = []
    finished = Finished("stop", {})
    for delta in deltas:
        match delta:
            case Text(text):
                texts.append(text)
            case CallBegins(_, call_id, name):
                calls.append({"id": call_id, "name": name, "arguments": ""})
            case CallArguments(index, text):
                calls[index]["arguments"] += text
            case Finished():
                finished = delta
    if finished.reason == "length":
        calls = [call for call in calls if _is_object(call["arguments"])]
    return Collected("".join(texts), calls, finished.reason, finished.usage)


def _under(toolbox: Toolbox, config: GenerationConfig, only: str | None) -> GenerationConfig:
    """Stop texts are left out: one inside an argument would cut the JSON."""
    fields: dict[str, Any] = {"json_schema": toolbox.schema(only), "grammar": None, "stop": []}
    return GenerationConfig.model_validate(config.model_dump() | fields)


def _checked(reader: CallReader, said: str, arguments: str, toolbox: Toolbox) -> Iterator[Delta]:
    """What is missing when a forced call is over: nothing, or all of it where the backend wrote
    the call in a form the reader does not stream (fields in another order).

    Raises:
        BackendError: it is no call of a known tool with valid arguments.
    """
    if reader.complete:
        if toolbox.valid(Call(reader.name or "", json.loads(arguments))):
            return
    elif not arguments:
        calls = find_calls(said)
        if len(calls) == 1 and toolbox.valid(calls[0]):
            yield from _whole_call(0, calls[0])
            return
    raise BackendError(
        "The model's tool call does not follow the tool's schema, although it was told to.",
        hint="This backend may not support JSON schemas, or not every keyword of this one.",
        code="schema_not_followed",
    )


def _whole_call(index: int, call: Call) -> Iterator[Delta]:
    yield CallBegins(index, _call_id(), call.name)
    yield CallArguments(index, json.dumps(call.arguments, ensure_ascii=False))


def _names_tool(text: str, toolbox: Toolbox) -> bool:
    return any(f'"{name}"' in text for name in toolbox.names)


def _call_id() -> str:
    """Nine letters and digits: the form Mistral's templates insist on."""
    return secrets.token_hex(5)[:9]


def _reason(done: dict[str, Any]) -> FinishReason:
    return "length" if done.get("finish_reason") == "length" else "stop"


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
