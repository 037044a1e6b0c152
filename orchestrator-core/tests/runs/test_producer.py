"""Deaths of the backend in the middle of an answer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orchestrator_core.backend import FinishReason
from orchestrator_core.errors import BackendUnreachable, EngineLost, ModelUnusable
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.runs import producer as producer_module
from orchestrator_core.runs.continuation import RetryPolicy
from orchestrator_core.runs.spec import RunState
from support.run_clients import RunClient, make_spec, wait_for_offset
from support.scripted import Gate, Reply, ScriptedBackend

WORDS = [f" w{number}" for number in range(30)]


def kinds(run: Any) -> list[str]:
    return [event.kind for event in run.events()]


def test_a_death_in_mid_answer_is_one_seam_and_the_text_goes_on(servers: Any) -> None:
    backend = ScriptedBackend([Reply(tokens=tuple(WORDS[:5]), crash_after=(2,))])
    spec = make_spec(config=GenerationConfig(max_new_tokens=9))
    run = servers.start(backend).start(spec)
    result = run.wait(10)
    assert result.text == "".join(WORDS[:5])
    assert kinds(run) == ["token"] * 2 + ["seam"] + ["token"] * 3 + ["done"]
    assert [call.continue_from for call in backend.calls] == ["", " w0 w1"]
    assert [call.config.max_new_tokens for call in backend.calls] == [9, 7]
    seam = list(run.events())[2]
    assert seam.data == {
        "tier": "desktop",
        "model": "scripted",
        "reason": "The engine died and was restarted.",
    }
    assert result.seams == ({**seam.data, "offset": 3, "at": len(" w0 w1")},)
    assert result.usage.completion_tokens == 5
    assert servers.answers.specs[spec.message_id].receipt["seams"] == list(result.seams)
    assert len(servers.answers.results) == 1


def test_what_the_asker_had_before_is_continued_and_no_part_of_the_text(servers: Any) -> None:
    backend = ScriptedBackend([Reply(tokens=tuple(WORDS[:5]), crash_after=(3,))])
    run = servers.start(backend).start(make_spec(shown=" w0 w1"))
    result = run.wait(10)
    assert result.text == "".join(WORDS[2:5])
    assert [call.continue_from for call in backend.calls] == [" w0 w1", " w0 w1 w2"]
    assert result.usage.completion_tokens == 3


def test_a_death_before_the_first_token_is_recorded_but_not_shown(servers: Any) -> None:
    spec = make_spec()
    run = servers.start(ScriptedBackend([Reply(text="fine", crash_after=(0,))])).start(spec)
    assert run.wait(10).text == "fine"
    assert kinds(run) == ["token", "done"]
    (seam,) = servers.answers.specs[spec.message_id].receipt["seams"]
    assert seam["offset"] == 0


def test_a_lost_connection_to_a_remote_model_says_so(servers: Any) -> None:
    reply = Reply(tokens=tuple(WORDS[:4]), crash_after=(1,), failure="unreachable")
    run = servers.start(ScriptedBackend([reply])).start(make_spec())
    assert "connection" in run.wait(10).seams[0]["reason"]


def test_a_backend_that_needs_time_to_come_back_is_one_take_over(servers: Any) -> None:
    reply = Reply(tokens=tuple(WORDS[:4]), crash_after=(2,), down_for=5)
    run = servers.start(ScriptedBackend([reply])).start(make_spec())
    assert run.wait(10).text == "".join(WORDS[:4])
    assert kinds(run).count("seam") == 1
    assert servers.waits == [0.25, 0.5, 1, 2, 4, 8]


def test_a_backend_that_never_comes_back_fails_the_run_and_the_text_is_kept(servers: Any) -> None:
    reply = Reply(tokens=tuple(WORDS[:4]), crash_after=(2,), down_for=100)
    spec = make_spec()
    run = servers.start(ScriptedBackend([reply])).start(spec)
    result = run.wait(10)
    assert (result.state, result.text) == (RunState.FAILED, " w0 w1")
    assert isinstance(result.error, EngineLost)
    assert kinds(run) == ["token", "token", "error"]
    assert servers.answers.texts == {spec.message_id: " w0 w1"}
    receipt = servers.answers.specs[spec.message_id].receipt
    assert (receipt["incomplete"], receipt["finish_reason"], receipt["error"]) == (
        True,
        "error",
        "engine_lost",
    )
    assert len(servers.waits) == 7


def test_a_backend_that_was_never_there_is_reported_soon_and_nothing_is_stored(servers: Any) -> None:
    backend = ScriptedBackend(otherwise=Reply(refuse="unreachable"))
    run = servers.start(backend).start(make_spec())
    assert isinstance(run.wait(10).error, BackendUnreachable)
    assert servers.waits == [0.25, 0.5]
    assert servers.answers.results == []


def test_a_model_that_cannot_be_loaded_is_not_tried_again(servers: Any) -> None:
    backend = ScriptedBackend(otherwise="x", load_errors=[ModelUnusable("corrupt file")])
    run = servers.start(backend).start(make_spec())
    assert isinstance(run.wait(10).error, ModelUnusable)
    assert servers.waits == []


def test_an_engine_that_dies_on_every_token_is_given_up(servers: Any) -> None:
    reply = Reply(tokens=tuple(f"{n} " for n in range(100)), crash_after=tuple(range(100)))
    run = servers.start(ScriptedBackend([reply])).start(make_spec())
    result = run.wait(10)
    assert result.state is RunState.FAILED
    assert 20 < len(result.text.split()) < 40


def test_the_limit_counts_tokens_before_and_after_a_death(servers: Any) -> None:
    reply = Reply(tokens=tuple(WORDS), crash_after=(3, 4))
    run = servers.start(ScriptedBackend([reply])).start(make_spec(config=GenerationConfig(max_new_tokens=5)))
    result = run.wait(10)
    assert result.text == "".join(WORDS[:5])
    assert result.finish_reason is FinishReason.LENGTH
    assert result.usage.completion_tokens == 5


def test_a_death_after_the_last_allowed_token_ends_by_length(servers: Any) -> None:
    reply = Reply(tokens=tuple(WORDS), crash_after=(5,))
    run = servers.start(ScriptedBackend([reply])).start(make_spec(config=GenerationConfig(max_new_tokens=5)))
    result = run.wait(10)
    assert (result.text, result.finish_reason) == ("".join(WORDS[:5]), FinishReason.LENGTH)


def test_a_window_that_is_full_after_a_death_ends_the_answer(servers: Any) -> None:
    reply = Reply(tokens=tuple(WORDS), crash_after=(10,))
    backend = ScriptedBackend([reply], context_length=22)
    run = servers.start(backend).start(make_spec("q"))
    result = run.wait(10)
    assert (result.state, result.finish_reason) == (RunState.DONE, FinishReason.LENGTH)
    assert "".join(WORDS).startswith(result.text)
    assert result.text != ""


def test_a_stop_across_a_seam_still_ends_the_answer(servers: Any) -> None:
    reply = Reply(tokens=("one ", "EN", "D two"), crash_after=(2,))
    run = servers.start(ScriptedBackend([reply])).start(make_spec(config=GenerationConfig(stop=["END"])))
    result = run.wait(10)
    assert (result.text, result.finish_reason) == ("one ", FinishReason.STOP)


def test_cancelling_while_waiting_for_the_backend_takes_effect_at_once(servers: Any) -> None:
    reply = Reply(tokens=tuple(WORDS[:4]), crash_after=(2,), down_for=100)
    manager = servers.start(ScriptedBackend([reply]))
    manager._pause = lambda seconds, woken: woken.wait(60)
    spec = make_spec()
    run = manager.start(spec)
    wait_for_offset(run, 2)
    run.cancel()
    assert run.wait(10).state is RunState.CANCELLED
    assert servers.answers.texts == {spec.message_id: " w0 w1"}


def test_a_backend_that_was_closed_and_opened_again_is_continued(servers: Any) -> None:
    gate = Gate()
    backend = ScriptedBackend([Reply(tokens=tuple(WORDS[:4]), gate=gate)], otherwise="".join(WORDS[:4]))
    run = servers.start(backend).start(make_spec())
    gate.allow(2)
    wait_for_offset(run, 2)
    assert gate.wait_blocked()
    backend.close()
    assert run.wait(10).text == "".join(WORDS[:4])


def test_the_log_of_one_run_is_bounded(servers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "MAX_EVENTS", 10)
    run = servers.start(ScriptedBackend([Reply(tokens=tuple(WORDS))])).start(make_spec())
    result = run.wait(10)
    assert (result.state, result.finish_reason) == (RunState.DONE, FinishReason.LENGTH)
    assert result.text == "".join(WORDS[:9])
    assert len(list(run.events())) == 10


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text("aé漢🦜 \n", min_size=1, max_size=40),
    split=st.sampled_from(["words", "characters", "bytes"]),
    deaths=st.lists(st.integers(0, 60), max_size=6).map(sorted),
    after=st.lists(st.integers(0, 50), max_size=4),
)
def test_every_watcher_gets_the_whole_text_wherever_the_engine_dies(
    servers: Any, text: str, split: Any, deaths: list[int], after: list[int]
) -> None:
    servers.answers.texts.clear()
    backend = ScriptedBackend([Reply(text=text, split=split, crash_after=tuple(deaths))])
    spec = make_spec(durable=False)
    run = servers.start(backend, policy=RetryPolicy(before_text=9, after_text=9)).start(spec)
    clients = [RunClient() for _ in after]
    for client, most in zip(clients, after, strict=True):
        client.read(run, most)
    result = run.wait(10)
    for client in clients:
        client.follow(run)
    assert result.state is RunState.DONE
    assert [client.text for client in clients] == [text] * len(clients)
    assert servers.answers.texts == {spec.message_id: text}
    servers.stop()
