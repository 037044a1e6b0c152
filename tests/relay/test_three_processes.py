"""Desktop, VPS behind real nginx, and a client: three processes and what a person sees of them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from support import nginx
from support.fleet import Fleet, script, wait_until
from support.slow_link import SlowLink
from support.stream_client import Seen

HOME = "Home speaking: the relay carries every word of this sentence from the desktop to the phone. "
AWAY = "The VPS speaks for itself, because the desktop is not there."

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(nginx.missing() is not None, reason=str(nginx.missing())),
]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    desktop = script(tmp_path / "desktop.yaml", HOME * 3, token_delay_s=0.02)
    vps = script(tmp_path / "vps.yaml", AWAY)
    settings = {"ORCHESTRATOR_RELAY__SETTLE_S": "0.5"}
    with Fleet(tmp_path, desktop=desktop, vps=vps, behind_nginx=True, settings=settings) as fleet:
        yield fleet


def test_the_desktop_answers_through_the_relay_and_the_vps_when_it_is_off(fleet: Fleet) -> None:
    alone = fleet.ask("Who are you?")
    assert alone.done is not None
    assert (alone.text, alone.done["tier"]) == (AWAY, "vps")
    fleet.connect()
    through = fleet.ask("And now?")
    assert through.done is not None
    assert (through.text, through.done["tier"], through.seams) == (HOME * 3, "desktop", [])
    fleet.desktop.stop()
    fleet.wait_for_tier("vps")
    after = fleet.ask("Still there?")
    assert after.done is not None
    assert (after.text, after.done["tier"]) == (AWAY, "vps")
    assert "away" in after.done["reason"]
    fleet.desktop.start()
    fleet.wait_for_tier("desktop")
    back = fleet.ask("Welcome back")
    assert back.done is not None and back.done["tier"] == "desktop"
    assert_equal_memories(fleet, questions=4)


@pytest.mark.parametrize("deleted_at", ["desktop", "vps"])
def test_a_deleted_conversation_is_gone_on_both_and_the_desktop_goes_on_answering(
    fleet: Fleet, deleted_at: str
) -> None:
    fleet.connect()
    fleet.ask(
        "Keep this for now.", conversation_id=fleet.post("/conversations", {}).json()["conversation_id"]
    )
    (doomed,) = [one for one in conversations(fleet, "vps") if one != "default"]
    fleet.delete(f"/conversations/{doomed}", tier=deleted_at)
    for tier in ("desktop", "vps"):
        wait_until(lambda tier=tier: doomed not in conversations(fleet, tier), f"{tier} should forget it")
    through = fleet.ask("And now?")
    assert through.done is not None and through.done["tier"] == "desktop"
    assert_equal_memories(fleet, questions=1)


@pytest.mark.parametrize("lost", ["documents.db*", "*"])
def test_a_desktop_that_lost_its_documents_database_doubles_no_line(
    fleet: Fleet, tmp_path: Path, lost: str
) -> None:
    fleet.connect()
    url = f"{fleet.desktop_url}/context/SESSION_BRIEFING.md"
    requests.put(url, json={"text": "# Session briefing\n\nMine.\n"}, headers={"If-Match": "*"}, timeout=30)
    wait_until(lambda: documents(fleet, "vps") == documents(fleet, "desktop"), "both should have it")
    before = documents(fleet, "vps")
    assert any("Mine." in text for text in before.values())
    fleet.desktop.stop()
    for file in (tmp_path / "desktop" / "data" / "context-state").glob(lost):
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    fleet.desktop.start()
    fleet.wait_for_tier("desktop")
    wait_until(lambda: documents(fleet, "vps") == documents(fleet, "desktop"), "both should be equal")
    assert documents(fleet, "vps") == before


@pytest.mark.parametrize("tokens", [1, 8, 30])
def test_a_desktop_killed_in_mid_answer_is_continued_by_the_vps(fleet: Fleet, tokens: int) -> None:
    fleet.connect()
    seen = ask_and(fleet, tokens, lambda seen: fleet.desktop.kill())
    assert_one_handed_over_answer(seen)
    fleet.desktop.start()
    fleet.wait_for_tier("desktop")
    assert_equal_memories(fleet, questions=1)
    stored = fleet.history(fleet.url)[-1]
    assert (stored["content"], stored["tier"]) == (seen.text, "vps")


def test_a_suspended_desktop_is_given_up_within_the_heartbeat(fleet: Fleet) -> None:
    fleet.connect()
    fleet.desktop.suspend()
    seen = fleet.ask("Anybody?")
    assert seen.done is not None
    assert (seen.text, seen.done["tier"]) == (AWAY, "vps")
    fleet.desktop.resume()
    fleet.wait_for_tier("desktop")
    assert_equal_memories(fleet, questions=1)


def test_a_desktop_suspended_in_mid_answer_keeps_its_version_beside_the_delivered_one(fleet: Fleet) -> None:
    fleet.connect()
    seen = ask_and(fleet, 10, lambda seen: fleet.desktop.suspend())
    assert_one_handed_over_answer(seen)
    fleet.desktop.resume()
    fleet.wait_for_tier("desktop")
    wait_until(
        lambda: any(message.get("versions") for message in fleet.history(fleet.desktop_url)),
        "the desktop's own answer should be kept as a version",
    )
    assert_equal_memories(fleet, questions=1)
    answer = fleet.history(fleet.url)[-1]
    assert answer["content"] == seen.text
    assert [version["content"] for version in answer["versions"]] == [HOME * 3]


def test_a_vps_killed_in_mid_answer_loses_nothing(fleet: Fleet) -> None:
    fleet.connect()

    def crash(seen: Seen) -> None:
        fleet.vps.kill()
        fleet.vps.start()

    seen = ask_and(fleet, 10, crash)
    assert seen.done is not None, seen
    assert seen.connections > 1
    assert seen.text == HOME * 3 or seen.text.endswith(AWAY)
    fleet.wait_for_tier("desktop")
    assert_equal_memories(fleet, questions=1)
    assert fleet.history(fleet.url)[-1]["content"] == seen.text


def test_a_stopped_answer_stops_at_home(fleet: Fleet) -> None:
    fleet.connect()

    seen = ask_and(fleet, 5, lambda seen: fleet.delete(f"/runs/{seen.run_id}"))
    assert seen.done is not None and seen.done["finish_reason"] == "cancelled"
    assert 0 < len(seen.text) < len(HOME * 3)
    wait_until(
        lambda: len(fleet.history(fleet.desktop_url)) == 2, "the stopped answer should be stored at home"
    )
    assert len(fleet.history(fleet.desktop_url)[-1]["content"]) < len(HOME * 3)


def test_a_slow_link_delays_answers_and_breaks_nothing(tmp_path: Path) -> None:
    desktop = script(tmp_path / "desktop.yaml", HOME, token_delay_s=0.02)
    with (
        Fleet(tmp_path, desktop=desktop, vps=script(tmp_path / "vps.yaml", AWAY)) as fleet,
        SlowLink(fleet.vps.address[1], delay_s=0.3, jitter_s=0.4) as link,
    ):
        fleet.connect(f"http://127.0.0.1:{link.port}")
        for turn in range(4):
            seen = fleet.ask(f"Question {turn}")
            assert seen.done is not None
            assert (seen.text, seen.done["tier"], seen.seams) == (HOME, "desktop", [])
        assert fleet.get("/info").json()["relay"]["desktop"]["drops"] == 0
        link.delay_s = 60.0
        stalled = fleet.ask("And now?")
        assert stalled.done is not None
        assert (stalled.text, stalled.done["tier"]) == (AWAY, "vps")
        link.delay_s = 0.0
        fleet.wait_for_tier("desktop")
        assert_equal_memories(fleet, questions=5)


def test_twenty_times_off_and_on_loses_no_answer_and_leaks_nothing(tmp_path: Path) -> None:
    desktop = script(tmp_path / "desktop.yaml", "From home.")
    vps = script(tmp_path / "vps.yaml", "From outside.")
    settings = {"ORCHESTRATOR_RELAY__SETTLE_S": "0"}
    with Fleet(tmp_path, desktop=desktop, vps=vps, behind_nginx=True, settings=settings) as fleet:
        fleet.connect()
        footprints = []
        for turn in range(20):
            there = fleet.ask(f"Turn {turn}, at home")
            fleet.desktop.kill() if turn % 2 else fleet.desktop.stop()
            away = fleet.ask(f"Turn {turn}, away")
            fleet.desktop.start()
            fleet.wait_for_tier("desktop")
            assert there.done is not None and there.done["tier"] == "desktop", there
            assert away.done is not None and away.done["tier"] == "vps", away
            footprints.append(fleet.vps.footprint())
        assert_equal_memories(fleet, questions=40)
        # Threads, SQLite readers and idle connections are kept for reuse: the first cycles fill those pools.
        warm = {name: max(one[name] for one in footprints[:5]) for name in footprints[0]}
        print("footprint of the VPS within the first five cycles and after the last:", warm, footprints[-1])
        assert footprints[-1]["threads"] <= warm["threads"] + 2
        assert footprints[-1]["files"] <= warm["files"] + 4
        assert footprints[-1]["rss_kib"] <= warm["rss_kib"] * 1.2


def ask_and(fleet: Fleet, tokens: int, act: Callable[[Seen], object]) -> Seen:
    """Ask, and do something once the client has seen so many tokens."""
    client = fleet.client
    seen = Seen()
    result: list[Seen] = []
    thread = threading.Thread(
        target=lambda: result.append(client.ask({"message": "Tell me", "message_id": "question-1"}, seen))
    )
    thread.start()
    wait_until(lambda: len(seen.tokens) >= tokens or seen.over, f"{tokens} tokens should come")
    act(seen)
    thread.join(60)
    assert result, "the client still waits"
    return result[0]


def assert_one_handed_over_answer(seen: Seen) -> None:
    """A beginning of the desktop's sentence, one seam, and the VPS's sentence."""
    assert seen.done is not None, seen
    assert seen.out_of_order == 0
    assert len(seen.seams) == 1, seen.seams
    assert seen.text.endswith(AWAY)
    beginning = seen.text.removesuffix(AWAY)
    assert beginning and (HOME * 3).startswith(beginning)
    assert (seen.done["tier"], seen.done["response"]) == ("vps", seen.text)
    assert seen.seams[0]["tier"] == "vps"


def conversations(fleet: Fleet, tier: str) -> list[str]:
    """What this tier itself knows of."""
    return [one["conversation_id"] for one in fleet.get("/conversations", tier=tier).json()["conversations"]]


def documents(fleet: Fleet, tier: str) -> dict[str, str]:
    """What this tier itself holds."""
    listed = fleet.get("/context", tier=tier).json()["documents"]
    return {one["name"]: fleet.get(f"/context/{one['name']}", tier=tier).json()["text"] for one in listed}


def assert_equal_memories(fleet: Fleet, *, questions: int) -> None:
    """Both replicas tell the same conversation: every question once, each with one answer."""

    def told(url: str) -> list[tuple[str, str, str | None]]:
        return [(one["role"], one["content"], one.get("tier")) for one in fleet.history(url)]

    wait_until(lambda: told(fleet.desktop_url) == told(fleet.vps_url), "both memories should become equal")
    history = told(fleet.desktop_url)
    assert [role for role, *_ in history] == ["user", "assistant"] * questions, history
