"""A restart of the VPS while it passed an answer on, within one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.runs.run import Run
from orchestrator_core.runs.spec import RunState
from support.scripted import Gate, Reply, ScriptedBackend
from support.scripted.script import words
from support.two_tiers import WAIT, TwoTiers, kinds, last, settings, two_tiers

DESKTOP_SAYS = "The desktop knows: a seam is where 🦜 another one goes on."
VPS_SAYS = " And the vps ends it."
TOKENS = words(DESKTOP_SAYS)


@pytest.fixture
def gate() -> Any:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def pair(tmp_path: Path, gate: Gate) -> Any:
    desktop = ScriptedBackend([Reply(text=DESKTOP_SAYS, gate=gate)], otherwise="Another.", name="large")
    with two_tiers(tmp_path, desktop, ScriptedBackend(otherwise=VPS_SAYS, name="small")) as pair:
        yield pair


def interrupted(pair: TwoTiers, gate: Gate, tokens: int) -> str:
    """An answer of which so much was seen when the VPS was stopped; its run's id."""
    gate.allow(tokens)
    run = pair.ask(message_id="m-1")
    seen = 0
    for event in run.events(timeout=WAIT):
        assert event is not None
        seen += event.kind == "token"
        if seen == tokens:
            break
    pair.vps.runs.close(timeout=0)
    assert run.wait(WAIT).state is RunState.RUNNING
    pair.vps.close()
    return run.run_id


def restarted(pair: TwoTiers, tmp_path: Path, run_id: str, **options: Any) -> tuple[Assistant, Run]:
    vps = open_assistant(
        settings(tmp_path / "vps"),
        "vps",
        backend=ScriptedBackend(otherwise=VPS_SAYS, name="small"),
        **options,
    )
    return vps, vps.runs.get(run_id)


@pytest.mark.parametrize("tokens", [1, 5])
def test_it_goes_on_with_what_the_desktop_says(
    pair: TwoTiers, gate: Gate, tmp_path: Path, tokens: int
) -> None:
    run_id = interrupted(pair, gate, tokens)
    vps, run = restarted(pair, tmp_path, run_id, remote=pair.wire)
    with vps:
        gate.open()
        assert run.wait(WAIT).text == DESKTOP_SAYS
        done, told = last(run).data, last(pair.desktop_run(run)).data
        for name in ("response", "tier", "model", "message_id"):
            assert done[name] == told[name]
        assert done["usage"]["completion_tokens"] == told["usage"]["completion_tokens"]
        assert kinds(run).count("seam") == 1
        assert [one.message_id for one in vps.conversations.messages("default")] == [
            "m-1",
            told["message_id"],
        ]


def test_the_desktop_is_away(
    pair: TwoTiers, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_core.tiers.relayed.RETURN_S", 0.2)
    run_id = interrupted(pair, gate, 3)
    pair.wire.leave()
    vps, run = restarted(pair, tmp_path, run_id, remote=pair.wire)
    with vps:
        assert run.wait(WAIT).text == "".join(TOKENS[:3]) + VPS_SAYS
        assert last(run).data["tier"] == "vps"
        assert last(run).data["supersedes"] == pair.desktop.runs.get(run_id).spec.message_id


def test_the_desktop_comes_back_in_time(pair: TwoTiers, gate: Gate, tmp_path: Path) -> None:
    run_id = interrupted(pair, gate, 3)
    pair.wire.leave()
    vps, run = restarted(pair, tmp_path, run_id, remote=pair.wire)
    with vps:
        gate.open()
        pair.wire.come_back()
        assert run.wait(WAIT).text == DESKTOP_SAYS


def test_no_desktop_is_known_any_more(pair: TwoTiers, gate: Gate, tmp_path: Path) -> None:
    run_id = interrupted(pair, gate, 3)
    vps, run = restarted(pair, tmp_path, run_id)
    with vps:
        assert run.wait(WAIT).text == "".join(TOKENS[:3]) + VPS_SAYS
        assert "not connected any more" in last(run).data["reason"]


def test_the_desktop_has_forgotten_the_run(pair: TwoTiers, gate: Gate, tmp_path: Path) -> None:
    run_id = interrupted(pair, gate, 3)
    forgotten = "/runs/unknown"
    opened = pair.wire.open
    pair.wire.open = lambda method, target, **more: opened(method, forgotten, **more)  # type: ignore[method-assign]
    vps, run = restarted(pair, tmp_path, run_id, remote=pair.wire)
    with vps:
        assert run.wait(WAIT).text == "".join(TOKENS[:3]) + VPS_SAYS


def test_the_desktop_says_something_else_now(pair: TwoTiers, gate: Gate, tmp_path: Path) -> None:
    run_id = interrupted(pair, gate, 3)
    pair.wire.change = lambda chunks: iter([b'data: {"token": "Something else."}\n\n', *chunks])
    vps, run = restarted(pair, tmp_path, run_id, remote=pair.wire)
    with vps:
        gate.open()
        assert run.wait(WAIT).text == "".join(TOKENS[:3]) + VPS_SAYS
        assert "says something else now" in last(run).data["reason"]


def test_a_second_stop_while_it_waits_for_the_desktop_loses_nothing(
    pair: TwoTiers, gate: Gate, tmp_path: Path
) -> None:
    run_id = interrupted(pair, gate, 3)
    pair.wire.leave()
    vps, run = restarted(pair, tmp_path, run_id, remote=pair.wire)
    vps.runs.close(timeout=0)
    vps.close()
    assert not run.state.final
    pair.wire.come_back()
    vps, run = restarted(pair, tmp_path, run_id, remote=pair.wire)
    with vps:
        gate.open()
        assert run.wait(WAIT).text == DESKTOP_SAYS
        assert last(run).data["tier"] == "desktop"
