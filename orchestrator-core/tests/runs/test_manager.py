from __future__ import annotations

import sqlite3
import threading
from typing import Any

import pytest
from orchestrator_core.backends.base import FinishReason, Usage
from orchestrator_core.backends.scripted import Gate, Reply, ScriptedBackend
from orchestrator_core.errors import NotFound, OrchestratorError, Overloaded
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.runs import manager as manager_module
from orchestrator_core.runs.event_log import MAX_EVENTS
from orchestrator_core.runs.manager import MAX_RECOVERIES
from orchestrator_core.runs.spec import RunState
from orchestrator_core.runs.store import RunStore
from shared_context.errors import ConversationNotFound, StoreFull
from support.run_clients import RunClient, make_spec, wait_for_offset

TEXT = "one two three four five six"


def test_an_answer_is_shown_stored_and_told_in_the_done_event(servers: Any) -> None:
    manager = servers.start(ScriptedBackend([Reply(text="Hello, world!", cached_tokens=1)]))
    spec = make_spec("say hello")
    run = manager.start(spec)
    events = list(run.events())
    assert [event.offset for event in events] == list(range(1, len(events) + 1))
    assert "".join(event.data["token"] for event in events[:-1]) == "Hello, world!"
    done = dict(events[-1].data)
    assert done.pop("timestamp").endswith("Z")
    assert done == {
        "done": True,
        "response": "Hello, world!",
        "conversation_id": "default",
        "message_id": spec.message_id,
        "run_id": spec.run_id,
        "tier": "desktop",
        "model": "scripted",
        "reason": "the only tier there is",
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "cached_tokens": 1},
        "receipt": {"tier": "desktop"},
        "finish_reason": "stop",
        "stored": True,
    }
    result = run.wait(0)
    assert (result.state, result.text, result.usage) == (RunState.DONE, "Hello, world!", Usage(3, 4, 1))
    assert servers.answers.texts == {spec.message_id: "Hello, world!"}


def test_a_finished_run_is_replayed_from_the_store_word_for_word(servers: Any) -> None:
    manager = servers.start(ScriptedBackend([Reply(text=TEXT, crash_after=(2,))]))
    run = manager.start(make_spec())
    events = list(run.events())
    description = run.describe()
    servers.stop()
    again = servers.start(ScriptedBackend()).get(run.run_id)
    assert list(again.events()) == events
    assert list(again.events(after=3)) == events[3:]
    assert again.describe() == description
    assert again.wait(0) == run.wait(0)


def test_a_failed_run_is_replayed_with_its_error(servers: Any) -> None:
    manager = servers.start(ScriptedBackend([Reply(refuse="context_length_exceeded")]))
    run = manager.start(make_spec())
    events = list(run.events())
    assert [event.kind for event in events] == ["error"]
    assert events[0].data["error"]["code"] == "context_length_exceeded"
    servers.stop()
    again = servers.start(ScriptedBackend()).get(run.run_id)
    assert list(again.events()) == events
    error = again.wait(0).error
    assert error is not None
    assert (error.code, error.status) == ("context_length_exceeded", 400)
    assert servers.answers.texts == {}


def test_an_unknown_run_is_named_in_the_error(servers: Any) -> None:
    with pytest.raises(NotFound, match="'nope'"):
        servers.start(ScriptedBackend()).get("nope")


def test_starting_a_known_run_again_returns_it(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)]))
    spec = make_spec()
    run = manager.start(spec)
    assert manager.start(spec) is run
    gate.open()
    run.wait(10)
    servers.stop()
    manager = servers.start(ScriptedBackend())
    assert manager.start(spec).text == TEXT
    assert manager.active() == []


def test_a_run_that_is_not_durable_leaves_no_trace_on_disk(servers: Any) -> None:
    manager = servers.start(ScriptedBackend([Reply(text=TEXT)]))
    run = manager.start(make_spec(durable=False))
    assert run.wait(10).text == TEXT
    assert manager.get(run.run_id).text == TEXT
    servers.stop()
    with pytest.raises(NotFound):
        servers.start(ScriptedBackend()).get(run.run_id)


def test_too_many_runs_at_once_are_refused_before_anything_is_stored(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend(otherwise=Reply(text=TEXT, gate=gate)), max_live=2)
    runs = [manager.start(make_spec(str(number))) for number in range(2)]
    assert manager.active() == runs
    refused = make_spec("3")
    with pytest.raises(Overloaded, match="2 answers"):
        manager.ensure_room()
    with pytest.raises(Overloaded):
        manager.start(refused)
    with pytest.raises(NotFound):
        manager.get(refused.run_id)
    gate.open()
    for run in runs:
        run.wait(10)
    wait_until_idle(manager)
    manager.ensure_room()


def wait_until_idle(manager: Any) -> None:
    with manager._changed:
        assert manager._changed.wait_for(lambda: not manager._live, 10)


def test_only_the_latest_finished_runs_stay_in_memory(servers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "RECENT", 2)
    manager = servers.start(ScriptedBackend(otherwise="x"))
    runs = [manager.start(make_spec(durable=False)) for _ in range(4)]
    for run in runs:
        run.wait(10)
    wait_until_idle(manager)
    assert len(manager._recent) == 2


def test_many_watchers_see_the_same_events_from_any_offset(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text=TEXT * 20, gate=gate)]))
    run = manager.start(make_spec())
    seen: dict[int, list[Any]] = {}
    watchers = [
        threading.Thread(target=lambda after=after: seen.update({after: list(run.events(after))}))
        for after in range(30)
    ]
    for watcher in watchers:
        watcher.start()
    gate.open()
    for watcher in watchers:
        watcher.join(20)
    whole = list(run.events())
    assert seen == {after: whole[after:] for after in range(30)}


def test_a_run_outlives_its_watchers(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)]))
    run = manager.start(make_spec())
    gate.allow(2)
    watcher = run.events()
    assert next(watcher).data == {"token": "one"}
    watcher.close()
    gate.open()
    assert run.wait(10).text == TEXT


def test_cancelling_keeps_and_stores_the_text_so_far(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)]))
    spec = make_spec()
    run = manager.start(spec)
    gate.allow(2)
    wait_for_offset(run, 2)
    assert gate.wait_blocked()
    manager.get(spec.run_id).cancel()
    result = run.wait(10)
    assert (result.state, result.text) == (RunState.CANCELLED, "one two")
    assert result.finish_reason is FinishReason.CANCELLED
    assert result.usage.completion_tokens == 2
    assert servers.answers.texts == {spec.message_id: "one two"}
    assert servers.answers.specs[spec.message_id].receipt["incomplete"] is True
    last = list(run.events())[-1]
    assert (last.kind, last.data["finish_reason"], last.data["message_id"]) == (
        "done",
        "cancelled",
        spec.message_id,
    )
    run.cancel()
    assert list(run.events())[-1] == last


def test_cancelling_before_any_text_stores_nothing(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)]))
    run = manager.start(make_spec())
    assert gate.wait_blocked()
    assert run.state is RunState.QUEUED
    run.cancel()
    result = run.wait(10)
    assert (result.state, result.text, result.message_id) == (RunState.CANCELLED, "", None)
    assert servers.answers.results == []
    assert list(run.events())[-1].data["message_id"] is None


def test_cancelling_while_the_model_loads_ends_the_run_when_it_has(servers: Any) -> None:
    loading = threading.Event()
    backend = ScriptedBackend([Reply(text=TEXT)], load_gate=loading)
    run = servers.start(backend).start(make_spec())
    run.cancel()
    loading.set()
    assert run.wait(10).text == ""


def test_waiting_for_a_run_is_bounded(servers: Any) -> None:
    gate = Gate()
    run = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)])).start(make_spec())
    with pytest.raises(TimeoutError, match="still"):
        run.wait(0)
    gate.open()
    run.wait(10)


# What goes wrong while the answer is stored


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


# Closing and recovering


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


def test_a_cancelled_run_is_not_recovered(servers: Any) -> None:
    gate = Gate()
    manager = servers.start(ScriptedBackend([Reply(text=TEXT, gate=gate)]))
    run = manager.start(make_spec())
    gate.allow(1)
    wait_for_offset(run, 1)
    run.cancel()
    run.wait(10)
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


def test_a_run_that_is_over_does_not_hold_its_prompt(servers: Any) -> None:
    manager = servers.start(ScriptedBackend(otherwise=TEXT))
    run = manager.start(make_spec("a long prompt"))
    run.wait(10)
    wait_until_idle(manager)
    assert manager.get(run.run_id).spec.prompt.text == ""
