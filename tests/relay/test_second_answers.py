"""Answers that are given twice, or elsewhere, between a desktop and a VPS that are real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support import nginx
from support.fleet import Fleet, script, wait_until

HOME = "Home knows it better."
AWAY = "The VPS knows it well enough."

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(nginx.missing() is not None, reason=str(nginx.missing())),
]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    desktop, vps = script(tmp_path / "desktop.yaml", HOME), script(tmp_path / "vps.yaml", AWAY)
    settings = {"ORCHESTRATOR_RELAY__SETTLE_S": "0", "ORCHESTRATOR_RELAY__OVERFLOW_QUEUE": "3"}
    with Fleet(tmp_path, desktop=desktop, vps=vps, behind_nginx=True, settings=settings) as fleet:
        fleet.connect()
        yield fleet


def test_the_desktop_answers_better_when_it_is_back(fleet: Fleet) -> None:
    fleet.desktop.stop()
    fleet.wait_for_tier("vps")
    seen = fleet.ask("What is it?", better_later=True)
    assert seen.done is not None and (seen.text, seen.done["tier"]) == (AWAY, "vps")
    fleet.ask("And then?")
    fleet.desktop.start()
    for url in (fleet.url, fleet.desktop_url):
        wait_until(
            lambda url=url: bool(fleet.history(url)[1].get("versions")), "a second version should come"
        )
        told = fleet.history(url)
        assert [one["content"] for one in told] == ["What is it?", HOME, "And then?", AWAY]
        answer = told[1]
        assert (answer["tier"], answer["receipt"]["reason"]) == ("desktop", "asked again by the vps")
        assert [(one["content"], one["tier"]) for one in answer["versions"]] == [(AWAY, "vps")]


def test_a_question_asked_again_through_the_vps_has_one_answer_and_a_version(fleet: Fleet) -> None:
    first = fleet.ask("What is it?", message_id="question-1")
    again = fleet.ask("What is it?", message_id="question-1", regenerate=True)
    assert first.done is not None and again.done is not None
    assert again.done["supersedes"] == first.done["message_id"]
    for url in (fleet.url, fleet.desktop_url):
        wait_until(lambda url=url: len(fleet.history(url)) == 2, "both should know the answer")
        (version,) = fleet.history(url)[1]["versions"]
        assert version["message_id"] == first.done["message_id"]


def test_the_desktop_reaches_its_vps_with_its_own_credential(fleet: Fleet) -> None:
    """What it does with a question when too many wait, here by a person's wish."""

    def ask() -> requests.Response:
        body = {"message": "Out there?", "message_id": "question-2", "tier": "vps"}
        return requests.post(f"{fleet.desktop_url}/chat", json=body, timeout=30)

    wait_until(lambda: ask().status_code == 200, "the VPS should answer the desktop")
    answer = ask().json()
    assert (answer["response"], answer["tier"], answer["reason"]) == (
        AWAY,
        "vps",
        "the vps was asked for",
    )
    wait_until(lambda: fleet.history(fleet.url) == fleet.history(fleet.desktop_url), "both should be equal")
    assert [one["content"] for one in fleet.history(fleet.desktop_url)] == ["Out there?", AWAY]
