"""What a signature and a seal cost: per request, per answer, and per token of a stream.

    python benchmarks/bench_identity.py [--seconds 1]

CPU time of this process for each step alone, on both sides, without a network.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import count

from orchestrator_relay.identity.event_chain import EventChain
from orchestrator_relay.identity.machine import Identity
from orchestrator_relay.identity.nonces import NonceStore
from orchestrator_relay.identity.sealing import AnswerOpener, AnswerSealer, open_request, seal_request
from orchestrator_relay.identity.signatures import sign_answer, sign_request, verify_answer, verify_request

BODY = b'{"message": "' + b"x" * 500 + b'"}'
ANSWER = b'{"response": "' + b"y" * 2000 + b'"}'
EVENT = '{"token": " word"}'
FRAME = f"id: 17\ndata: {EVENT}\n\n".encode()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="for each step (default: 1)")
    seconds = parser.parse_args().seconds
    desktop, phone = Identity.create(), Identity.create()
    household, nonces = desktop.id, NonceStore(started=0)

    def sign() -> dict[str, str]:
        return sign_request(phone, household, "POST", "/chat", {}, BODY)

    signed = iter([sign() for _ in range(20_000)])
    asked = sign()
    answered = sign_answer(desktop, household, asked, 200, {}, ANSWER)
    chain = EventChain(household, asked)
    wire, _ = seal_request(desktop.public, "POST", "/chat", asked.items(), BODY)
    sealer, opener = _stream(desktop)
    number = count()
    frames = iter([sealer.part(FRAME) for _ in range(400_000)])
    rows: list[tuple[str, Callable[[], object]]] = [
        ("sign a request", sign),
        (
            "verify a request",
            lambda: verify_request(
                household, lambda _: phone.public, nonces, "POST", "/chat", next(signed), BODY
            ),
        ),
        ("sign an answer", lambda: sign_answer(desktop, household, asked, 200, {}, ANSWER)),
        ("verify an answer", lambda: verify_answer(desktop.public, household, asked, 200, answered, ANSWER)),
        ("chain an event (a token)", lambda: chain.add(EVENT, id=str(next(number)))),
        ("seal a request", lambda: seal_request(desktop.public, "POST", "/chat", asked.items(), BODY)),
        ("open a request", lambda: open_request(desktop, wire)),
        ("seal an event (a token)", lambda: sealer.part(FRAME)),
        ("open an event (a token)", lambda: opener.feed(next(frames))),
    ]
    for name, step in rows:
        print(f"{name:28} {_cost_us(step, seconds):8.1f} µs")


def _stream(desktop: Identity) -> tuple[AnswerSealer, AnswerOpener]:
    wire, opener = seal_request(desktop.public, "POST", "/chat/stream")
    _, sealer = open_request(desktop, wire)
    opener.feed(sealer.head(200, ()))
    return sealer, opener


def _cost_us(step: Callable[[], object], seconds: float) -> float:
    began, done = time.process_time(), 0
    while (spent := time.process_time() - began) < seconds:
        try:
            step()
        except StopIteration:
            break
        done += 1
    return spent / done * 1e6


if __name__ == "__main__":
    main()
