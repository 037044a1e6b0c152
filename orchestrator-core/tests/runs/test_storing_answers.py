"""What goes wrong while an answer is made or stored."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.runs.spec import RunState
from orchestrator_core.runs.store import RunStore
from shared_context.errors import ConversationNotFound, StoreFull
from support.run_clients import TEXT, make_spec, wait_until_idle
from support.scripted import Gate, Reply, ScriptedBackend


def test_a_store_that_is_full_fails_the_run_and_the_next_start_stores_the_answer(servers: Any) -> None:
    servers.answers.trouble = [StoreFull("memory.db cannot grow", "Free some space.")]
    manager = servers.start(ScriptedBackend([Reply(text=TEXT)]))
    spec = make_spec()
    run = manager.start(spec)
    result = run.wait(10)
    assert (result.state, result.text, result.message_id) == (RunState.FAILED, TEXT, None)
    last = list(run.events())[-1]
    assert last.kind == "error"
    assert last.data["error"]["code"] == "answer_not_stored"
    assert "memory.db cannot grow" in last.data["error"]["message"]
    servers.stop()
    (recovered,) = servers.start(ScriptedBackend()).recover()
    assert recovered.wait(10).state is RunState.DONE
    assert servers.answers.texts == {spec.message_id: TEXT}
    # A client that saw the error learns the good end when it asks again.
    assert [event.kind for event in recovered.events(last.offset)] == ["done"]


def test_an_answer_whose_conversation_is_gone_fails_for_good(servers: Any) -> None:
    servers.answers.trouble = [ConversationNotFound("There is no conversation 'trip'.")]
    manager = servers.start(ScriptedBackend([Reply(text=TEXT)]))
    run = manager.start(make_spec())
    assert run.wait(10).state is RunState.FAILED
    servers.stop()
    manager = servers.start(ScriptedBackend())
    assert manager.recover() == []
    assert list(manager.get(run.run_id).events()) == list(run.events())


def test_a_mistake_in_our_own_code_ends_the_run_with_an_error(servers: Any) -> None:
    servers.answers.trouble = [ZeroDivisionError("secret detail")]
    run = servers.start(ScriptedBackend([Reply(text=TEXT)])).start(make_spec())
    last = list(run.events())[-1]
    assert last.data["error"]["code"] == "internal_error"
    assert "secret" not in str(last.data)


def test_a_mistake_inside_a_backend_ends_the_run_with_an_error(servers: Any) -> None:
    class Broken(ScriptedBackend):
        def generate(self, *args: Any, **kwargs: Any) -> Any:
            raise ZeroDivisionError("secret detail")

    run = servers.start(Broken()).start(make_spec())
    last = list(run.events())[-1]
    assert last.data["error"]["code"] == "internal_error"
    assert "secret" not in str(last.data)


def test_a_runs_database_that_is_full_does_not_end_a_running_answer(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text="word " * 3000, gate=gate)]), flush_interval_s=0.001)
    spec = make_spec(config=GenerationConfig(max_new_tokens=5000))
    run = manager.start(spec)
    with manager._store._database.write() as connection:
        connection.execute("PRAGMA max_page_count = 8")
    gate.open()
    assert run.wait(20).state is RunState.DONE
    assert servers.answers.texts[spec.message_id].count("word") == 3000
    with pytest.raises(StoreFull):
        manager.start(make_spec(prompt=make_spec("x" * 100_000).prompt))
    wait_until_idle(manager)


def test_an_end_that_cannot_be_written_down_still_reaches_the_watchers(
    servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: RunStore, changes: object) -> None:
        raise sqlite3.IntegrityError("a mistake of ours")

    manager = servers.start(ScriptedBackend([Reply(text=TEXT)]), flush_interval_s=60)
    monkeypatch.setattr(RunStore, "write", broken)
    run = manager.start(make_spec())
    assert list(run.events())[-1].kind == "error"
    wait_until_idle(manager)
    monkeypatch.undo()
