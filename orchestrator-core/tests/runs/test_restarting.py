"""A server that is closed, or died, and the next one on the same `runs.db`."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from orchestrator_core.errors import OrchestratorError
from orchestrator_core.runs.event_log import MAX_EVENTS
from orchestrator_core.runs.manager import MAX_RECOVERIES
from orchestrator_core.runs.spec import RunState
from orchestrator_core.runs.store import RunStore
from shared_context.errors import StoreFull
from support.run_clients import TEXT, RunClient, make_spec, wait_for_offset, wait_until_idle
from support.scripted import Gate, Reply, ScriptedBackend


def test_closing_lets_running_answers_end(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)]))
    run = manager.start(make_spec())
    assert gate.wait_blocked()
    closing = threading.Thread(target=manager.close, args=(20,))
    closing.start()
    gate.open()
    closing.join(30)
    assert run.wait(0).state is RunState.DONE
    with pytest.raises(OrchestratorError, match="stopping") as caught:
        manager.start(make_spec())
    assert (caught.value.code, caught.value.status) == ("stopping", 503)


def test_an_answer_interrupted_by_closing_is_continued_by_the_next_server(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)]))
    spec = make_spec()
    run = manager.start(spec)
    client = RunClient()
    gate.allow(3)
    wait_for_offset(run, 3)
    assert gate.wait_blocked()
    servers.stop()
    client.follow(run)
    assert client.final is None
    assert client.text == "one two three"
    result = run.wait(0)
    assert (result.state, result.message_id) == (RunState.RUNNING, None)
    assert result.error is not None
    assert result.error.code == "stopping"
    assert servers.answers.texts == {}

    backend = ScriptedBackend([Reply(text=TEXT)], name="other")
    (recovered,) = servers.start(backend).recover()
    client.follow(recovered)
    assert client.text == TEXT == recovered.text
    assert client.final is not None
    assert client.final.data["model"] == "other"
    assert servers.answers.texts == {spec.message_id: TEXT}
    (call,) = backend.calls
    assert call.continue_from == "one two three"
    assert call.config.max_new_tokens == spec.config.max_new_tokens - 3
    seam = next(event for event in recovered.events() if event.kind == "seam")
    assert seam.offset == MAX_EVENTS + 1
    assert seam.data == {
        "tier": "desktop",
        "model": "other",
        "reason": "The server was restarted.",
        "from": 3,
    }
    told = {name: seam.data[name] for name in ("tier", "model", "reason")}
    assert servers.answers.specs[spec.message_id].receipt["seams"] == [
        {**told, "offset": seam.offset, "at": len("one two three")}
    ]


def test_a_server_that_died_after_storing_the_answer_does_not_produce_it_again(servers: Any) -> None:
    manager = servers.start(ScriptedBackend([Reply(text=TEXT)]), flush_interval_s=60)
    spec = make_spec()
    manager.start(spec).wait(10)
    wait_until_idle(manager)
    # The end was not flushed yet: as far as the store knows, the answer was about to be stored.
    copy = RunStore.open(servers.path)
    assert copy.unfinished() == [spec.run_id]
    copy.close()
    manager._flusher.forget(manager.get(spec.run_id))
    servers.stop()
    backend = ScriptedBackend()
    manager = servers.start(backend)
    (recovered,) = manager.recover()
    assert recovered.wait(10).text == TEXT
    assert len(backend.calls) == 0
    assert len(servers.answers.results) == 2
    assert servers.answers.texts == {spec.message_id: TEXT}


def test_a_run_that_takes_the_server_down_again_and_again_is_given_up(servers: Any) -> None:
    spec = make_spec()
    for _ in range(MAX_RECOVERIES + 1):
        gate = Gate()
        manager = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)]))
        run = (manager.recover() or [manager.start(spec)])[0]
        gate.allow(1)
        assert gate.wait_blocked()
        manager._flusher.flush(run)
        servers.stop()
    (run,) = servers.start(ScriptedBackend()).recover()
    result = run.wait(10)
    assert result.state is RunState.FAILED
    assert result.error is not None
    assert result.error.code == "given_up"
    assert result.text != ""
    assert servers.answers.texts == {spec.message_id: result.text}
    assert servers.answers.specs[spec.message_id].receipt["incomplete"] is True
    servers.stop()
    assert servers.start(ScriptedBackend()).recover() == []


def test_an_unreadable_run_does_not_keep_the_others_from_recovering(servers: Any) -> None:
    store = RunStore.open(servers.path)
    broken, whole = make_spec(), make_spec()
    store.create(broken)
    store.create(whole)
    with store._database.write() as connection:
        connection.execute("UPDATE runs SET spec = '{' WHERE run_id = ?", (broken.run_id,))
    store.close()
    manager = servers.start(ScriptedBackend(otherwise=TEXT))
    (run,) = manager.recover()
    assert run.run_id == whole.run_id
    assert run.wait(10).text == TEXT
    servers.stop()
    assert servers.start(ScriptedBackend()).recover() == []


def test_a_full_disk_at_the_start_leaves_the_run_for_the_next_one(
    servers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RunStore.open(servers.path)
    spec = make_spec()
    store.create(spec)
    store.close()

    def full(self: RunStore, run_id: str) -> None:
        raise StoreFull("runs.db cannot grow")

    with monkeypatch.context() as patch:
        patch.setattr(RunStore, "note_recovery", full)
        assert servers.start(ScriptedBackend()).recover() == []
    servers.stop()
    (run,) = servers.start(ScriptedBackend(otherwise=TEXT)).recover()
    assert run.wait(10).text == TEXT
