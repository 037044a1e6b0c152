"""Many devices at one VPS: a registry of paired devices, and how many of them can stream at once.

    python benchmarks/bench_devices.py
    python benchmarks/bench_devices.py --devices 1000 --streams 200 --runs 100

The VPS runs as users start it, in a process of its own, with a scripted model that says a token every
`--pause` seconds. Each request is signed by its device; each answer's events are read to the end. Of `--streams`
devices the first `--runs` ask, and the others follow one of those answers.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import requests
from measuring import describe_run, show
from orchestrator_core.event_stream import events_in
from orchestrator_core.streamed_http import pieces
from orchestrator_relay.identity.machine import Identity
from orchestrator_relay.identity.signatures import sign_request
from shared_context.conversations.store import ConversationStore
from shared_context.devices.registry import Devices
from shared_context.storage.identity import new_id

# The test double of a model, and servers in processes of their own.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.ports import free_port
from support.scripted import ENVIRONMENT
from support.tier_process import TierProcess

PATIENCE_S = 300.0


@dataclass
class Seen:
    """What one device saw of its stream.

    Args:
        problem: "" when its answer came to its end.
    """

    problem: str = ""
    first_s: float = 0.0
    tokens: int = 0


def paired(data: Path, household: Identity, count: int) -> list[Identity]:
    """A VPS's data folder that knows so many devices of this household."""
    data.mkdir(parents=True, mode=0o700)
    (data / "household").write_text(household.public.text() + "\n")
    devices = [Identity.create() for _ in range(count)]
    with ConversationStore.open(data / "memory.db") as store:
        registry = Devices(store, household.public.verifies, household.sign)
        with store.database.write():
            for number, device in enumerate(devices):
                public = device.public.text()
                registry.add(device.id, name=f"phone {number}", kind="phone", public=public)
    return devices


class Fleet:
    """The devices' side."""

    def __init__(self, url: str, household: str, runs: int) -> None:
        self._url = url
        self._household = household
        self._asked: list[str] = []
        self._ready = threading.Semaphore(0)
        self._runs = runs

    def ask(self, device: Identity) -> Seen:
        body = {
            "message": "Go on.",
            "message_id": new_id(),
            "conversation_id": new_id(),
            "new_conversation": True,
        }
        return self._stream(device, "POST", "/chat/stream", json.dumps(body).encode())

    def follow(self, device: Identity, number: int) -> Seen:
        self._ready.acquire(timeout=PATIENCE_S)
        if not self._asked:
            return Seen("nothing to follow")
        return self._stream(device, "GET", f"/runs/{self._asked[number % len(self._asked)]}/stream", b"")

    def _stream(self, device: Identity, method: str, target: str, body: bytes) -> Seen:
        headers = {"Content-Type": "application/json"} if body else {}
        headers |= sign_request(device, self._household, method, target, headers, body)
        seen, began = Seen("it broke off"), time.perf_counter()
        try:
            with requests.request(
                method, self._url + target, data=body, headers=headers, stream=True, timeout=PATIENCE_S
            ) as answer:
                if answer.status_code != 200:
                    return Seen(f"{answer.status_code} {answer.json()['error']['code']}")
                if method == "POST":
                    self._asked.append(answer.headers["X-Run-Id"])
                    self._ready.release()
                for event in events_in(pieces(answer)):
                    if event.name != "message":  # the signature
                        continue
                    seen.first_s = seen.first_s or time.perf_counter() - began
                    data = json.loads(event.data)
                    seen.tokens += "token" in data
                    if data.get("done"):
                        seen.problem = ""
        except (requests.RequestException, OSError, ValueError) as error:
            seen.problem = type(error).__name__
        finally:
            self._ready.release()
        return seen


@contextmanager
def vps(folder: Path, words: int, pause_s: float, threads: int) -> Iterator[TierProcess]:
    script = folder / "script.json"
    said = " ".join(f"word{number}" for number in range(words))
    script.write_text(json.dumps({"token_delay_s": pause_s, "otherwise": {"text": said}}))
    environment = {
        **ENVIRONMENT,
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "ORCHESTRATOR_DATA": str(folder / "data"),
        "ORCHESTRATOR_MODEL": str(script),
        "ORCHESTRATOR_SERVER__THREADS": str(threads),
    }
    port = free_port()
    command = ["vps", "serve", "--host", "127.0.0.1", "--port", str(port)]
    with TierProcess(command, environment, folder / "vps.log", ("127.0.0.1", port)) as server:
        yield server


def wait_ready(url: str, device: Identity, household: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        headers = sign_request(device, household, "GET", "/ready", {}, b"")
        if requests.get(f"{url}/ready", headers=headers, timeout=30).status_code == 200:
            return
        time.sleep(0.2)
    raise TimeoutError("the VPS does not get ready")


@click.command()
@click.option("--devices", default=1000, show_default=True)
@click.option("--streams", default=200, show_default=True)
@click.option("--runs", default=100, show_default=True, help="Answers that are produced at once.")
@click.option("--words", default=40, show_default=True, help="Of each answer.")
@click.option("--pause", default=0.5, show_default=True, help="Seconds between the tokens of one answer.")
@click.option("--threads", default=256, show_default=True, help="server.threads of the VPS.")
def main(devices: int, streams: int, runs: int, words: int, pause: float, threads: int) -> None:
    describe_run()
    household = Identity.create()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        identities = paired(folder / "data", household, devices)
        with vps(folder, words, pause, threads) as server:
            url = f"http://{server.address[0]}:{server.address[1]}"
            wait_ready(url, identities[0], household.public.id)
            before = server.footprint()
            fleet, began = Fleet(url, household.public.id, runs), time.perf_counter()
            with ThreadPoolExecutor(streams) as pool:
                asking = [pool.submit(fleet.ask, identities[number]) for number in range(runs)]
                following = [
                    pool.submit(fleet.follow, identities[number], number) for number in range(runs, streams)
                ]
                during = before
                while not all(each.done() for each in asking + following):
                    now = server.footprint()
                    during = {key: max(now[key], during[key]) for key in now}
                    time.sleep(0.5)
                seen = [each.result() for each in asking + following]
            spent_s = time.perf_counter() - began
            after = server.footprint()
    problems = Counter(each.problem for each in seen if each.problem)
    asked = [each.first_s for each in seen[:runs] if each.first_s]
    show(
        f"{devices:,} paired devices, {streams} streams ({runs} answers) at one VPS",
        ["", "before", "at most", "after"],
        [
            [key, *(f"{moment[key]:,}" for moment in (before, during, after))]
            for key in ("threads", "files", "rss_kib")
        ],
    )
    print(f"errors: {sum(problems.values())} of {len(seen)} {dict(problems) or ''}")
    whole = max(each.tokens for each in seen)
    print(f"tokens read: {sum(each.tokens for each in seen):,} of {streams * whole:,} in {spent_s:.0f} s")
    print(f"first token of who asked: median {median(asked or [0]):.2f} s, last {max(asked or [0]):.2f} s")


if __name__ == "__main__":
    main()
