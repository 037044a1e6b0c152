"""Desktop, VPS and phone on hosts of their own, with cables that are pulled: packets vanish, nobody is told."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from support import namespaces, nginx
from support.fleet import Fleet, script, wait_until
from support.namespaces import Network
from support.stream_client import Seen

HOME = " ".join(f"home{number}" for number in range(25)) + ". "
AWAY = "The VPS speaks for itself."
CUT_POINTS = 50

_REASON = namespaces.missing() or nginx.missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # In CI they have to run: there, what is missing is a failure.
    pytest.mark.skipif(_REASON is not None and not os.environ.get("CI"), reason=str(_REASON)),
]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network("desktop", "vps", "phone") as network:
        yield network


@pytest.fixture(scope="module")
def fleet(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    settings = {
        "ORCHESTRATOR_RELAY__SETTLE_S": "0",
        "ORCHESTRATOR_RELAY__HEARTBEAT_S": "0.3",
        "ORCHESTRATOR_RELAY__SILENCE_S": "1",
    }
    with (
        network["phone"].entered(),
        Fleet(
            folder,
            desktop=script(folder / "desktop.yaml", HOME, token_delay_s=0.02),
            vps=script(folder / "vps.yaml", AWAY),
            hosts=(network["desktop"], network["vps"]),
            behind_nginx=True,
            settings=settings,
        ) as fleet,
    ):
        fleet.connect()
        yield fleet


@pytest.mark.parametrize("point", range(CUT_POINTS))
def test_a_cut_at_any_point_gives_one_complete_answer(fleet: Fleet, network: Network, point: int) -> None:
    """The cable of the desktop is pulled after so many tokens, at odd points that of the phone."""
    conversation = f"cut-{point}"
    whose = "phone" if point % 5 == 4 else "desktop"
    seen = ask_and_cut(fleet, network, whose, conversation, point)
    assert seen.done is not None, seen
    assert seen.out_of_order == 0
    assert seen.text == seen.done["response"]
    if seen.seams:
        beginning = seen.text.removesuffix(AWAY)
        assert seen.text.endswith(AWAY) and HOME.startswith(beginning), seen.text
        assert (len(seen.seams), seen.done["tier"]) == (1, "vps")
    else:
        assert (seen.text, seen.done["tier"]) in ((HOME, "desktop"), (AWAY, "vps"))
    fleet.wait_for_tier("desktop")
    assert_one_stored_answer(fleet, network, conversation, seen)


def ask_and_cut(fleet: Fleet, network: Network, whose: str, conversation: str, point: int) -> Seen:
    seen = Seen()
    body = {"message": "Tell me", "message_id": f"question-{conversation}", "conversation_id": conversation}
    fleet.post("/conversations", {"conversation_id": conversation})
    thread = threading.Thread(target=lambda: fleet.client.ask(body, seen))
    thread.start()
    wait_until(lambda: len(seen.tokens) >= point or seen.over, f"{point} tokens should come")
    network[whose].cut()
    try:
        if whose == "desktop":
            wait_until(lambda: seen.over, "the answer should end without the desktop")
        else:
            # Long enough for the whole answer: the phone finds it when it is back.
            thread.join(1.0)
    finally:
        network[whose].restore()
    thread.join(60)
    assert not thread.is_alive(), "the client still waits"
    return seen


def assert_one_stored_answer(fleet: Fleet, network: Network, conversation: str, seen: Seen) -> None:
    """On both replicas, the one the client saw."""

    def told(url: str) -> list[tuple[str, str]]:
        return [(one["role"], one["content"]) for one in fleet.history(url, conversation)]

    def at_home() -> list[tuple[str, str]]:
        with network["desktop"].entered():
            return told(fleet.desktop_url)

    expected = [("user", "Tell me"), ("assistant", seen.text)]
    wait_until(lambda: at_home() == expected, "the desktop should have the answer that was seen")
    wait_until(lambda: told(fleet.url) == expected, "the VPS should have the answer that was seen")
