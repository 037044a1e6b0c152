"""A phone that moves: home, away in mid-answer, offline, home again. Prints what happened, for docs/moving-phone.md.

Three hosts in network namespaces, real processes and real multicast DNS: the desktop and the phone on a home network, the
VPS behind nginx with TLS. Whoever answers says a sentence of his own, so that no label can be wrong unseen. The
packets between phone and desktop are recorded and searched for every word that was said.

    sudo .venv/bin/python benchmarks/moving_phone.py
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from mobile_sync.client import PhoneClient
from mobile_sync.discovery import Discovery
from mobile_sync.membership import Membership
from orchestrator_core.settings import Settings
from orchestrator_relay.identity.machine import Identity
from support import namespaces, nginx
from support.fleet import Fleet, script, wait_until
from support.namespaces import Host, Network
from support.paired_phone import let_in
from support.scripted import Reply, ScriptedBackend

HOME = "At home the desktop speaks, word by word, for quite a while: " + " ".join(
    f"lamp{number}" for number in range(60)
)
OUTSIDE = "Out here the VPS speaks for itself."
ON_DEVICE = "Alone, the phone speaks."
CONVERSATION = "journey"
ALL_PACKETS = 3
"""ETH_P_ALL, linux/if_ether.h."""


@dataclass
class Journey:
    """What was seen.

    Args:
        lines: the transcript.
        answers: data of each `done` event.
        asked: the questions, in order.
        first_home_s: from joining the home network to the first word of the first answer there.
        doubled, lost: questions that the desktop has twice, or not at all, in the end.
        leaked: words found in the packets of the home network.
    """

    lines: list[str] = field(default_factory=list)
    answers: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    first_home_s: float = 0.0
    doubled: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    packets: int = 0


def travel(folder: Path, tell: Callable[[str], None] = lambda line: None) -> Journey:
    """The whole journey. Needs root, `ip`, `nft` and nginx."""
    journey = Journey()

    def say(line: str = "") -> None:
        journey.lines.append(line)
        tell(line)

    with ExitStack() as opened:
        network = opened.enter_context(Network("desktop", "vps", "phone"))
        settings = {"ORCHESTRATOR_RELAY__SETTLE_S": "0", "ORCHESTRATOR_SERVER__ADVERTISE": "true"}
        phone_host, desktop_host = network["phone"], network["desktop"]
        pairing = _paired(folder)
        fleet = opened.enter_context(
            Fleet(
                folder,
                desktop=script(folder / "desktop.yaml", HOME, token_delay_s=0.05),
                vps=script(folder / "vps.yaml", OUTSIDE),
                hosts=(desktop_host, network["vps"]),
                behind_nginx=True,
                desktop_listens="0.0.0.0",
                settings=settings,
            )
        )
        opened.enter_context(phone_host.entered())
        fleet.connect()
        membership = pairing(fleet)
        recorded = opened.enter_context(_recorded(phone_host, desktop_host))
        client = opened.enter_context(_phone(folder / "phone", membership))
        _stages(journey, say, client, fleet, phone_host, desktop_host)
        _reckon(journey, say, fleet, desktop_host, b"".join(recorded))
        journey.packets = len(recorded)
    return journey


def _stages(
    journey: Journey, say: Callable[..., None], client: PhoneClient, fleet: Fleet, phone: Host, desktop: Host
) -> None:
    say("## At home")
    began = time.monotonic()
    done = _ask(
        journey,
        say,
        client,
        "Which lamp is it?",
        first=lambda: setattr(journey, "first_home_s", time.monotonic() - began),
    )
    say(f"(first word {journey.first_home_s:.2f} s after joining the network)")
    assert done["road"]["way"] == "lan"

    say("\n## Leaving in mid-answer: the link is cut, nobody is told")
    _ask(
        journey,
        say,
        client,
        "And which lamps are there besides?",
        at_token=8,
        then=lambda: _leave(phone, desktop),
    )

    say("\n## Away: the VPS passes on to the desktop")
    _ask(journey, say, client, "Do you hear me from the train?")

    say("\n## The desktop is switched off: the VPS answers itself")
    fleet.desktop.kill()
    fleet.wait_for_tier("vps")
    _ask(journey, say, client, "Is anybody there?")

    say("\n## In the tunnel: no network at all")
    phone.cut()
    _ask(journey, say, client, "What did I forget?")
    client.add_log_entry("Wrote this in the tunnel.")
    waiting = [entry.state.value for entry in client.outbox.entries()]
    say(f"outbox: {', '.join(waiting)}")

    say("\n## Home again")
    fleet.desktop.start()
    with desktop.entered():
        wait_until(lambda: fleet.get("/health", fleet.desktop_url).ok, "the desktop should be up", 60)
    phone.restore()
    _come_home(phone)
    wait_until(client.flush, "everything should be delivered at home", 60)
    say("outbox: empty")
    _ask(journey, say, client, "And now?")


def _ask(
    journey: Journey,
    say: Callable[..., None],
    client: PhoneClient,
    question: str,
    *,
    first: Callable[[], object] = lambda: None,
    at_token: int = -1,
    then: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    say(f"> {question}")
    journey.asked.append(question)
    text, tokens, done = "", 0, {}
    for event in client.stream(question, CONVERSATION):
        if event.name == "road":
            say(f"  [{event.data['way']}: {event.data['reason']}]")
        elif event.name == "seam":
            text = "" if event.data.get("from") == 0 else text
            say(f"  [seam: {event.data.get('reason')}]")
        elif event.name == "token":
            tokens += 1
            text += event.data["token"]
            if tokens == 1:
                first()
            if tokens == at_token:
                say(f"  {text} …")
                then()
        elif event.name == "done":
            done = dict(event.data)
    assert text == done["response"], (text, done["response"])
    say(f"  {_short(text)}")
    say(f"  — {done['tier']}, {done['model']}: {done['reason']}")
    journey.answers.append(done)
    return done


def _reckon(journey: Journey, say: Callable[..., None], fleet: Fleet, desktop: Host, recorded: bytes) -> None:
    with desktop.entered():
        wait_until(
            lambda: len(fleet.history(fleet.desktop_url, CONVERSATION)) >= 2 * len(journey.asked),
            "the desktop should have everything",
            30,
        )
        history = fleet.history(fleet.desktop_url, CONVERSATION)
        log = fleet.get("/context/SESSION_LOG.md", fleet.desktop_url).json()["text"]
    counts = Counter(message["content"] for message in history if message["role"] == "user")
    answered = Counter(message["reply_to"] for message in history if message["role"] == "assistant")
    journey.doubled = [text for text, count in counts.items() if count > 1]
    journey.doubled += [str(reply) for reply, count in answered.items() if count > 1]
    journey.lost = [text for text in journey.asked if not counts[text]]
    if log.count("Wrote this in the tunnel.") != 1:
        journey.lost.append("the log entry")
    secret = [*journey.asked, "lamp", "speaks", CONVERSATION, "SESSION_LOG", "message", "Signature", "tunnel"]
    journey.leaked = [word for word in secret if word.encode() in recorded]
    say("\n## In the end")
    say(
        f"asked {len(journey.asked)}, stored once each at the desktop: {sum(c == 1 for c in counts.values())}"
    )
    say(f"lost: {len(journey.lost)}; doubled: {len(journey.doubled)}")
    say(f"words found in {len(recorded):,} bytes recorded between phone and desktop: {len(journey.leaked)}")


def _paired(folder: Path) -> Callable[[Fleet], Membership]:
    """Lets the phone in before the desktop starts; what is left to learn then is where the servers are."""
    public = let_in(folder / "desktop" / "data", folder / "phone")

    def membership(fleet: Fleet) -> Membership:
        assert fleet.nginx is not None
        vps = Identity.load(folder / "vps" / "data")
        assert vps is not None, "the VPS has made its keys"
        made = Membership(
            public,
            "Pixel",
            vps_url=fleet.url,
            vps=vps.public,
            vps_certificate=fleet.nginx.certificate.read_text(),
        )
        made.write(folder / "phone")
        return made

    return membership


@contextmanager
def _phone(data: Path, membership: Membership) -> Iterator[PhoneClient]:
    """With a model of its own, and no address of the desktop: that is found by multicast DNS."""
    settings = Settings.model_validate({"data": data, "context": {"embeddings": None}})
    discovery = Discovery(membership.household.id).start()
    try:
        wait_until(lambda: bool(discovery.candidates()), "the desktop should be advertised", 10)
        backend = ScriptedBackend(lambda prompt, config: Reply(text=ON_DEVICE))
        lan = lambda: [candidate.url for candidate in discovery.candidates()]  # noqa: E731
        with PhoneClient(settings, backend=backend, lan=lan) as client:
            yield client
    finally:
        discovery.close()


@contextmanager
def _recorded(phone: Host, desktop: Host) -> Iterator[list[bytes]]:
    """Every packet between the two that the phone's interface sees."""
    address = socket.inet_aton(desktop.address)
    packets: list[bytes] = []
    over = threading.Event()
    sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(ALL_PACKETS))
    sniffer.bind(("eth0", 0))
    sniffer.settimeout(0.2)

    def record() -> None:
        while not over.is_set():
            try:
                packet = sniffer.recv(65536)
            except TimeoutError:
                continue
            if address in packet[26:34]:
                packets.append(packet[34:])

    thread = threading.Thread(target=record, name="sniffer", daemon=True)
    thread.start()
    try:
        yield packets
    finally:
        over.set()
        thread.join(5)
        sniffer.close()


def _leave(phone: Host, desktop: Host) -> None:
    """Another network, in which the VPS can be reached and nobody says that the old one is gone."""
    phone.run("nft", "add table inet away")
    for hook, side in (("input", "saddr"), ("output", "daddr")):
        rule = "{ type filter hook " + hook + " priority 0; policy accept; }"
        phone.run("nft", f"add chain inet away {hook} {rule}")
        phone.run("nft", f"add rule inet away {hook} ip {side} {desktop.address} drop")
    phone.run("ip", "address", "add", "10.78.0.3/24", "dev", "eth0")


def _come_home(phone: Host) -> None:
    phone.run("nft", "delete table inet away")
    phone.run("ip", "address", "del", "10.78.0.3/24", "dev", "eth0")


def _short(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:60]} … {text[-20:]}"


def main() -> None:
    reason = namespaces.missing() or nginx.missing()
    if reason is not None:
        sys.exit(f"This needs root, ip, nft and nginx: {reason}.")
    with tempfile.TemporaryDirectory() as folder:
        journey = travel(Path(folder), print)
    sys.exit(1 if journey.lost or journey.doubled or journey.leaked else 0)


if __name__ == "__main__":
    main()
