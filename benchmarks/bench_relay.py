"""What the way through the VPS costs: time added to tokens, time to fail over, a hundred clients at once.

    python benchmarks/bench_relay.py

Desktop, VPS and nginx run as on three machines, here on loopback, with scripted models. Ways take turns within one
run: straight to the desktop, through the VPS, and through nginx and the VPS.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
from measuring import describe_run, middle, show, verdict
from shared_context.storage.identity import new_id

# The processes are started by the same code as in the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.fleet import KEY, Fleet, script, wait_until
from support.stream_client import Seen, StreamClient

AWAY = "The VPS goes on."
QUESTION = "How far is it?"


def p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def ask(client: StreamClient, seen: Seen | None = None, conversation: str = "default") -> Seen:
    body = {"message": QUESTION, "message_id": new_id(), "conversation_id": conversation}
    result = client.ask(body, seen)
    if result.done is None:
        raise click.ClickException(f"no answer: {result.error or result}")
    return result


def gaps(seen: Seen) -> list[float]:
    return [later - earlier for earlier, later in zip(seen.times, seen.times[1:], strict=False)]


def ways(fleet: Fleet) -> dict[str, StreamClient]:
    return {
        "desktop": StreamClient(fleet.desktop_url),
        "VPS": StreamClient(fleet.vps_url, key=KEY),
        "nginx, VPS": fleet.client,
    }


@contextmanager
def fleet(text: str, delay_s: float, **settings: str) -> Iterator[Fleet]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        desktop = script(folder / "desktop.yaml", text, token_delay_s=delay_s)
        vps = script(folder / "vps.yaml", AWAY)
        chosen = {"ORCHESTRATOR_RELAY__SETTLE_S": "0", **settings}
        with Fleet(folder, desktop=desktop, vps=vps, behind_nginx=True, settings=chosen) as running:
            running.connect()
            yield running


def measure_overhead(rounds: int) -> list[str]:
    """First token and time between tokens, by way."""
    firsts: dict[str, list[float]] = {}
    between: dict[str, list[float]] = {}
    with fleet(" ".join(f"word{number}" for number in range(50)), 0.01) as running:
        clients = ways(running)
        for client in clients.values():
            ask(client)
        for turn in range(rounds):
            for name in clients if turn % 2 else reversed(clients):
                seen = ask(clients[name])
                firsts.setdefault(name, []).append(seen.times[0])
                between.setdefault(name, []).extend(gaps(seen))
    rows, verdicts = [], []
    for name in clients:
        first, gap = p95(firsts[name]), p95(between[name])
        rows.append(
            [
                name,
                f"{middle(firsts[name]) * 1000:.1f}",
                f"{first * 1000:.1f}",
                f"{middle(between[name]) * 1000:.2f}",
                f"{gap * 1000:.2f}",
            ]
        )
        if name != "desktop":
            added = [(first - p95(firsts["desktop"])) * 1000, (gap - p95(between["desktop"])) * 1000]
            verdicts.append(f"{name}: ms added to the first token, p95: {verdict(added[0], 10, least=False)}")
            verdicts.append(f"{name}: ms added to a token, p95: {verdict(added[1], 2, least=False)}")
    columns = ["way", "first token, median (ms)", "p95", "between tokens, median (ms)", "p95"]
    show(f"{rounds} answers each way, a model with 100 tokens/s", columns, rows)
    return verdicts


def measure_failover(rounds: int) -> list[str]:
    """Silence at the client when the desktop is killed, and when it is suspended, in mid-answer."""
    silences: dict[str, list[float]] = {"killed": [], "suspended": []}
    with fleet(" ".join(f"word{number}" for number in range(300)), 0.02) as running:
        acts: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "killed": (running.desktop.kill, running.desktop.start),
            "suspended": (running.desktop.suspend, running.desktop.resume),
        }
        for _ in range(rounds):
            for name, (lose, bring_back) in acts.items():
                silences[name].append(silence(running, lose))
                bring_back()
                running.wait_for_tier("desktop")
    rows = [[name, f"{middle(found):.2f}", f"{max(found):.2f}"] for name, found in silences.items()]
    show(f"failover, {rounds} times each", ["desktop", "silence, median (s)", "longest (s)"], rows)
    return [
        f"longest silence, connection closed (s): {verdict(max(silences['killed']), 1, least=False)}",
        f"longest silence, nothing closed (s): {verdict(max(silences['suspended']), 7, least=False)}",
    ]


def silence(running: Fleet, lose: Callable[[], object]) -> float:
    seen = Seen()
    thread = threading.Thread(target=lambda: ask(running.client, seen))
    thread.start()
    wait_until(lambda: len(seen.tokens) > 10, "the answer should begin")
    lose()
    thread.join()
    if len(seen.seams) != 1:
        raise click.ClickException(f"expected one seam, saw {seen.seams}")
    return max(gaps(seen))


def measure_crowd(clients: int, arrival_s: float) -> list[str]:
    """All streaming at once, straight and through nginx and the relay; they arrive within `arrival_s` seconds.

    Each in a conversation of its own: in one, those that come later would carry the others' history.
    """
    text = " ".join(f"word{number}" for number in range(40))
    rows, firsts = [], {}
    with fleet(text, 0.5 if arrival_s else 0.2, ORCHESTRATOR_SERVER__THREADS="160") as running:
        for name, process in (("desktop", running.desktop), ("nginx, VPS", running.vps)):
            conversations = [
                running.post("/conversations", {}).json()["conversation_id"] for _ in range(clients)
            ]
            before = process.footprint()["rss_kib"]
            with ThreadPoolExecutor(clients) as pool:
                seen = list(
                    pool.map(
                        lambda one, n, way=name: arrive(running, way, n * arrival_s / clients, one),
                        conversations,
                        range(clients),
                    )
                )
            grown = (process.footprint()["rss_kib"] - before) / 1024
            firsts[name] = [one.times[0] for one in seen]
            ended = sum(one.done is not None and not one.seams for one in seen)
            rows.append(
                [
                    name,
                    f"{middle(firsts[name]) * 1000:.0f}",
                    f"{p95(firsts[name]) * 1000:.0f}",
                    f"{ended}",
                    f"{before / 1024:.0f}",
                    f"{grown:+.0f}",
                ]
            )
    columns = ["way", "first token, median (ms)", "p95", "complete", "server before (MiB)", "after"]
    how = f"arriving within {arrival_s:g} s" if arrival_s else "arriving in one moment"
    show(f"{clients} clients streaming at once, {how}", columns, rows)
    added = (p95(firsts["nginx, VPS"]) - p95(firsts["desktop"])) * 1000
    return [
        f"ms added to the first token of {clients} clients {how}, p95: {verdict(added, 200, least=False)}"
    ]


def arrive(running: Fleet, way: str, after_s: float, conversation: str) -> Seen:
    time.sleep(after_s)
    return ask(ways(running)[way], conversation=conversation)


@click.command(help=__doc__)
@click.option("--rounds", default=20, show_default=True)
@click.option("--failovers", default=5, show_default=True)
@click.option("--clients", default=100, show_default=True)
def main(rounds: int, failovers: int, clients: int) -> None:
    describe_run()
    verdicts = measure_overhead(rounds) + measure_failover(failovers)
    for arrival_s in (10.0, 0.0):
        verdicts += measure_crowd(clients, arrival_s)
    for line in verdicts:
        print(line)


if __name__ == "__main__":
    main()
