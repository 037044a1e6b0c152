"""`--tier`: a person at home says who shall answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.command_line import orchestrator
from support.fleet import Fleet, script, wait_until

HOME, AWAY = "Home speaking.", "The VPS speaks."

pytestmark = pytest.mark.slow


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A desktop that knows its VPS as another tier, and has no reason of its own to ask it."""
    models = {
        name: script(tmp_path / f"{name}.yaml", text) for name, text in (("desktop", HOME), ("vps", AWAY))
    }
    with Fleet(tmp_path, **models, settings={"ORCHESTRATOR_RELAY__OVERFLOW_QUEUE": "100"}) as fleet:
        fleet.connect()
        yield fleet


def test_whoever_is_named_answers(fleet: Fleet) -> None:
    def asked(*options: str) -> str:
        return orchestrator(fleet.desktop_env, "ask", "Who are you?", *options).stdout

    wait_until(lambda: asked("--tier", "vps") == f"{AWAY}\n", "the desktop should see its VPS")
    assert asked("--tier", "desktop") == asked("--tier", "auto") == asked() == f"{HOME}\n"
    answer = json.loads(asked("--tier", "vps", "--json"))
    assert (answer["tier"], answer["reason"]) == ("vps", "the vps was asked for")
    talk = orchestrator(fleet.desktop_env, "chat", "--tier", "vps", stdin="One?\nTwo?\n")
    assert talk.stdout == f"{AWAY}\n" * 2


def test_a_named_tier_that_is_away_is_an_error(fleet: Fleet) -> None:
    fleet.vps.stop()
    done = orchestrator(fleet.desktop_env, "ask", "Who are you?", "--tier", "vps")
    assert (done.returncode, done.stdout) == (4, "")
    assert "The vps " in done.stderr and "Traceback" not in done.stderr
