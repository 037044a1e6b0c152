from __future__ import annotations

from typing import Any

import pytest
from orchestrator_core.backend import Usage
from orchestrator_core.errors import NotFound, Overloaded
from orchestrator_core.runs import manager as manager_module
from orchestrator_core.runs.spec import RunState
from orchestrator_http.schemas.chat import RunAnswer
from support.run_clients import TEXT, make_spec, wait_until_idle
from support.scripted import Gate, Reply, ScriptedBackend


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
    description = RunAnswer.of(run)
    servers.stop()
    again = servers.start(ScriptedBackend()).get(run.run_id)
    assert list(again.events()) == events
    assert list(again.events(after=3)) == events[3:]
    assert RunAnswer.of(again) == description
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


def test_only_the_latest_finished_runs_stay_in_memory(servers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "RECENT", 2)
    manager = servers.start(ScriptedBackend(otherwise="x"))
    runs = [manager.start(make_spec(durable=False)) for _ in range(4)]
    for run in runs:
        run.wait(10)
    wait_until_idle(manager)
    assert len(manager._recent) == 2


def test_a_run_that_is_over_does_not_hold_its_prompt(servers: Any) -> None:
    manager = servers.start(ScriptedBackend(otherwise=TEXT))
    run = manager.start(make_spec("a long prompt"))
    run.wait(10)
    wait_until_idle(manager)
    assert manager.get(run.run_id).spec.prompt.text == ""
