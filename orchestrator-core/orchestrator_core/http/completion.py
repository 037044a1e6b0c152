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
from orchestrator_core.http.deltas import CallArguments, CallBegins, Delta, Finished, Text, json_object
from orchestrator_core.http.shapes.openai_answers import FinishReason
from orchestrator_core.http.tools import Call, CallReader, CallSplitter, Toolbox, find_calls
from orchestrator_core.http.watching import failure

if TYPE_CHECKING:
    from orchestrator_core.runs.run import Run
    from orchestrator_core.runs.spec import RunEvent


@dataclass(slots=True)
class Heard:
    """What a run said, filled while it is listened to."""

    text: str = ""
    reason: FinishReason = "stop"


ATTEMPTS = 3
"""Runs for one call whose schema a grammar cannot enforce fully."""


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
            yield from self._forced_call(run, self._toolbox, self._forced or None)
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
            yield from self._forced_call(self.run, toolbox, only)

    def _forced_call(self, run: Run, toolbox: Toolbox, only: str | None) -> Iterator[Delta]:
        if toolbox.enforced(only):
            yield from self._streamed_call(run, toolbox)
        else:
            yield from self._checked_call(run, toolbox, only)

    def _streamed_call(self, run: Run, toolbox: Toolbox) -> Iterator[Delta]:
        """The grammar vouches for the call, so its arguments are passed on as they come."""
        reader, arguments = CallReader(), ""
        said = Heard()
        for piece in self._listen(run, said):
            if piece is None:
                yield None
                continue
            more = reader.feed(piece)
            if more and not arguments:
                yield CallBegins(0, _call_id(), reader.name or "")
            if more:
                arguments += more
                yield CallArguments(0, more)
        if said.reason == "length" and not reader.complete:
            yield self._finished("length")
            return
        if not arguments:  # Its fields came in another order.
            yield from _whole_call(0, _valid_call(said.text, toolbox))
        elif not toolbox.valid(Call(reader.name or "", json_object(arguments) or {})):
            raise _not_followed()
        yield self._finished("tool_calls")

    def _checked_call(self, run: Run, toolbox: Toolbox, only: str | None) -> Iterator[Delta]:
        """The schema asks for more than the grammar enforces (a number in a wide range, say), so
        the call is checked before the client sees it, and made again where it fails."""
        for attempt in range(1, ATTEMPTS + 1):
            said = Heard()
            for piece in self._listen(run, said):
                if piece is None:
                    yield None
            if said.reason == "length":
                yield self._finished("length")
                return
            try:
                call = _valid_call(said.text, toolbox)
            except BackendError:
                if attempt == ATTEMPTS:
                    raise
                run = self.run = self._start(_under(toolbox, self._config, only, attempt))
                continue
            yield from _whole_call(0, call)
            yield self._finished("tool_calls")
            return

    def _listen(self, run: Run, heard: Heard) -> Iterator[str | None]:
        """The run's text in pieces, None for silence; `heard` is filled on the way."""
        for event in self._events(run):
            if event is None:
                yield None
            elif event.kind == "token":
                heard.text += event.data["token"]
                yield event.data["token"]
            elif event.kind == "done":
                heard.reason = _reason(event.data)

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


def _under(
    toolbox: Toolbox, config: GenerationConfig, only: str | None, attempt: int = 0
) -> GenerationConfig:
    """The configuration of a forced call. Stop texts are left out: one inside an argument would
    cut the JSON. A further attempt samples, and with another seed, or it would say the same."""
    fields: dict[str, Any] = {"json_schema": toolbox.schema(only), "grammar": None, "stop": []}
    if attempt:
        fields |= {"greedy": False, "temperature": max(config.temperature, 0.7)}
        fields["seed"] = None if config.seed is None else (config.seed + attempt) % 2**32
    return GenerationConfig.model_validate(config.model_dump() | fields)


def _valid_call(text: str, toolbox: Toolbox) -> Call:
    """
    Raises:
        BackendError: the text is not one call of a known tool with valid arguments.
    """
    calls = find_calls(text)
    if len(calls) != 1 or not toolbox.valid(calls[0]):
        raise _not_followed()
    return calls[0]


def _not_followed() -> BackendError:
    return BackendError(
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
