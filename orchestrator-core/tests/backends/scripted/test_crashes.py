"""Crashes in mid-answer, and what is said behind the seam."""

import pytest
from orchestrator_core.errors import BackendUnreachable, EngineLost
from support.generations import said
from support.scripted import ScriptedBackend
from support.scripted.script import Reply
from support.scripted_answers import ASK, config, until_error


def test_after_a_crash_the_same_prompt_continues_the_same_reply() -> None:
    backend = ScriptedBackend([Reply(text="one two three four", crash_after=(1, 3)), "another"])
    shown, error = until_error(backend.generate(ASK, config()))
    assert (shown, type(error)) == ("one", EngineLost)
    more, error = until_error(backend.generate(ASK, config(), continue_from=shown))
    assert (more, type(error)) == (" two three", EngineLost)
    last = backend.generate(ASK, config(), continue_from=shown + more)
    assert said(last) == " four"
    assert last.usage.completion_tokens == 1
    assert backend.stats().restarts == 2
    assert said(backend.generate(ASK, config())) == "another"


def test_after_a_crash_the_engine_may_stay_down_for_some_calls() -> None:
    backend = ScriptedBackend([Reply(text="one two", crash_after=(0,), down_for=2)])
    shown, _ = until_error(backend.generate(ASK, config()))
    for _ in range(2):
        with pytest.raises(EngineLost, match="restarting"):
            backend.generate(ASK, config(), continue_from=shown)
    assert said(backend.generate(ASK, config(), continue_from=shown)) == "one two"


def test_held_back_text_is_not_lost_by_a_crash() -> None:
    backend = ScriptedBackend([Reply(text="ab<E>cd", split="characters", crash_after=(4,))])
    shown, _ = until_error(backend.generate(ASK, config(stop=["<E>"])))
    assert shown == "ab"
    assert said(backend.generate(ASK, config(stop=["<E>"]), continue_from=shown)) == ""


def test_a_crash_can_look_like_another_failure() -> None:
    backend = ScriptedBackend([Reply(text="one", crash_after=(0,), failure="unreachable")])
    assert isinstance(until_error(backend.generate(ASK, config()))[1], BackendUnreachable)


def test_another_backend_continues_from_the_text_shown_even_inside_a_token() -> None:
    backend = ScriptedBackend(["wonderful", "and more"])
    assert said(backend.generate(ASK, config(), continue_from="wond")) == "erful"
    assert said(backend.generate(ASK, config(), continue_from="something else ")) == "and more"
