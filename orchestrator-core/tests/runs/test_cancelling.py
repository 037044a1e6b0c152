from __future__ import annotations

import threading
from typing import Any

from orchestrator_core.backend import FinishReason
from orchestrator_core.runs.spec import RunState
from support.run_clients import TEXT, make_spec, wait_for_offset
from support.scripted import Gate, Reply, ScriptedBackend


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
