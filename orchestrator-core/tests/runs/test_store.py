from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.backend import FinishReason, Prompt, Usage
from orchestrator_core.errors import ContextLengthExceeded, Overloaded
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.runs import codec
from orchestrator_core.runs.spec import Relayed, RunResult, RunSpec, RunState
from orchestrator_core.runs.store import RunRecord, RunStore, chunks
from shared_context.storage.identity import now
from support.run_clients import make_spec


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = RunStore.open(tmp_path / "runs.db")
    yield store
    store.close()


def finish(store: RunStore, spec: RunSpec, at: str | None = None) -> None:
    outcome = RunResult(RunState.DONE, FinishReason.STOP, Usage(1, 2, 3))
    store.write([RunRecord(spec, RunState.DONE, [], 2, outcome, at or now())])


FULL_PROMPT = Prompt(
    pieces=("<s>[INST] hé\ud800 ", "[/IN", "ST]"),
    messages=(
        ChatMessage(Role.USER, "hi", name="me"),
        ChatMessage(Role.ASSISTANT, "", tool_calls=({"id": "1", "function": {"name": "f"}},)),
        ChatMessage(Role.TOOL, "42", tool_call_id="1"),
    ),
    tools=({"type": "function", "function": {"name": "f"}},),
    stable_prefix=5,
)


def test_an_unfinished_run_comes_back_whole(store: RunStore) -> None:
    spec = make_spec(
        prompt=FULL_PROMPT,
        config=GenerationConfig(seed=3, stop=["\n"], json_schema={"type": "object"}),
        reply_to="m-0",
        shown="so \ud83d far",
    )
    assert store.create(spec)
    store.write([RunRecord(spec, RunState.RUNNING, [(1, "a"), (2, ("seam", {"tier": "vps"}))], 1)])
    store.write([RunRecord(spec, RunState.RUNNING, [(3, "b\ud83d"), (9, "c")], 3)])
    stored = store.load(spec.run_id)
    assert stored is not None
    assert stored.spec == spec
    assert stored.state is RunState.RUNNING
    assert stored.events == [(1, "a"), (2, ("seam", {"tier": "vps"})), (3, "b\ud83d"), (9, "c")]
    assert (stored.produced, stored.result, stored.finished_at) == (3, None, None)
    assert store.unfinished() == [spec.run_id]


def test_a_relayed_run_comes_back_as_one(store: RunStore) -> None:
    relayed = Relayed("desktop", "run-there", {"temperature": 0.1, "context": "so \ud83d"}, lost=True)
    spec = make_spec(prompt=Prompt(()), relayed=relayed, supersedes="a-1", message_id=None)
    store.create(spec)
    stored = store.load(spec.run_id)
    assert stored is not None
    assert stored.spec == spec


def test_a_run_that_goes_on_otherwise_comes_back_so(store: RunStore) -> None:
    spec = make_spec(prompt=Prompt(()), relayed=Relayed("desktop", "run-there", {}))
    store.create(spec)
    own = replace(spec, prompt=FULL_PROMPT, relayed=None, tier="vps", message_id="a-2", supersedes="a-1")
    store.write([RunRecord(own, RunState.RUNNING, [(1, "a")], 1, respecced=True)])
    store.write([RunRecord(spec, RunState.RUNNING, [(2, "b")], 2)])
    stored = store.load(spec.run_id)
    assert stored is not None
    assert (stored.spec, [entry for _, entry in stored.events]) == (own, ["a", "b"])


def test_a_finished_run_keeps_its_outcome_and_drops_its_prompt(store: RunStore) -> None:
    spec = make_spec("a long prompt")
    store.create(spec)
    finish(store, spec)
    stored = store.load(spec.run_id)
    assert stored is not None
    assert stored.result == RunResult(RunState.DONE, FinishReason.STOP, Usage(1, 2, 3))
    assert stored.spec.prompt == Prompt(())
    assert stored.finished_at is not None
    assert store.unfinished() == []


def test_a_known_id_is_not_created_again(store: RunStore) -> None:
    spec = make_spec()
    assert store.create(spec)
    assert not store.create(spec)
    assert store.load("unknown") is None


def test_an_error_keeps_its_body_and_status() -> None:
    for error in (Overloaded("full", hint="wait"), ContextLengthExceeded("long")):
        outcome = RunResult(RunState.FAILED, None, Usage(), ({"offset": 0},), error)
        back = codec.unpack_result(codec.pack_result(outcome))
        assert back.error is not None
        assert (back.error.body(), back.error.status) == (error.body(), error.status)
        assert back.seams == outcome.seams


def test_recoveries_are_counted(store: RunStore) -> None:
    spec = make_spec()
    store.create(spec)
    store.note_recovery(spec.run_id)
    store.note_recovery(spec.run_id)
    stored = store.load(spec.run_id)
    assert stored is not None
    assert stored.recoveries == 2
    store.give_up(spec.run_id)
    assert store.unfinished() == []


def test_the_oldest_finished_runs_are_forgotten_with_their_events(store: RunStore) -> None:
    specs = [make_spec() for _ in range(6)]
    for spec in specs:
        store.create(spec)
        store.write([RunRecord(spec, RunState.RUNNING, [(1, "x")], 1)])
    for spec in specs[:5]:
        finish(store, spec)
    assert store.prune(keep_runs=2) == 3
    kept = [spec for spec in specs if store.load(spec.run_id) is not None]
    assert kept == specs[3:]
    with store._database.read() as connection:
        assert connection.execute("SELECT count(*) FROM run_events").fetchone()[0] == 3


def test_finished_runs_are_forgotten_after_a_week_and_unfinished_ones_never(store: RunStore) -> None:
    old, fresh, unfinished = make_spec(), make_spec(), make_spec()
    for spec in (old, fresh, unfinished):
        store.create(spec)
    finish(store, old, "2020-01-01T00:00:00.000000Z")
    finish(store, fresh)
    assert store.prune() == 1
    assert store.load(old.run_id) is None
    assert store.load(fresh.run_id) is not None
    assert store.unfinished() == [unfinished.run_id]


@pytest.mark.parametrize(
    "query", ["WHERE finished_at IS NULL ORDER BY created_at", "WHERE finished_at < '2'"]
)
def test_looking_for_work_uses_an_index(store: RunStore, query: str) -> None:
    with store._database.read() as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN SELECT run_id FROM runs {query}").fetchall()
    assert all("USING INDEX" in row["detail"] for row in plan), [row["detail"] for row in plan]


entries = st.text(max_size=3) | st.tuples(
    st.sampled_from(["seam", "done"]), st.dictionaries(st.text(max_size=2), st.integers() | st.text())
)


@given(st.lists(st.tuples(st.integers(1, 3), entries), max_size=20))
def test_chunks_lose_nothing(steps: list[tuple[int, Any]]) -> None:
    offset = 0
    events = []
    for step, entry in steps:
        offset += step
        events.append((offset, entry))
    back = [
        pair
        for first, packed in chunks(events)
        for pair in enumerate(codec.unpack_entries(codec.pack_entries(packed)), first)
    ]
    assert back == events
