"""docs/vectors/identity.json says what the code does, and the libraries of another language agree with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from orchestrator_relay.identity.event_chain import EventChain
from orchestrator_relay.identity.machine import PublicIdentity, base64url, from_base64url
from orchestrator_relay.identity.nonces import NonceStore
from orchestrator_relay.identity.sealing import AnswerOpener, open_request
from orchestrator_relay.identity.signatures import verify_answer, verify_request
from shared_context.devices.device import device_of
from support import identity_vectors
from support.identity_vectors import DESKTOP, PHONE

FOLDER = Path(__file__).parent / "javascript"
VECTORS: dict[str, Any] = json.loads(identity_vectors.FILE.read_text(encoding="utf-8"))


def known(key_id: str) -> PublicIdentity | None:
    return PHONE.public if key_id == PHONE.id else None


def test_the_vectors_are_those_the_code_makes() -> None:
    assert {key: value for key, value in VECTORS.items() if key != "sealed"} == identity_vectors.vectors()


def test_the_code_takes_what_the_vectors_hold() -> None:
    for name in ("request", "request_without_body"):
        request = VECTORS[name]
        signer = verify_request(
            VECTORS["household"], known, NonceStore(started=0), request["method"], request["url"],
            request["signed_headers"], request["body"].encode(), now=request["created"],
        )  # fmt: skip
        assert signer == PHONE.id
    asked, answer = VECTORS["request"]["signed_headers"], VECTORS["answer"]
    verify_answer(
        DESKTOP.public, DESKTOP.id, asked, answer["status"], answer["signed_headers"], answer["body"].encode()
    )
    chain = EventChain(DESKTOP.id, asked)
    for event in VECTORS["stream"]["events"]:
        chain.add(event["data"], event=event["event"], id=event["id"])
    chain.verify(DESKTOP.public, VECTORS["stream"]["last_event"]["data"])
    device = device_of(VECTORS["grant"]["value"], PHONE.id, DESKTOP.public.verifies)
    assert device is not None and device.public == PHONE.public.text()


def test_the_sealed_messages_of_the_vectors_open() -> None:
    sealed = VECTORS["sealed"]
    wire = from_base64url(sealed["request"])
    opened, _ = open_request(DESKTOP, wire)
    assert (opened.method, opened.target, opened.body.decode()) == (
        sealed["method"], sealed["target"], sealed["body"],
    )  # fmt: skip
    opener = AnswerOpener(from_base64url(sealed["secret"]), wire[:32])
    assert opener.feed(from_base64url(sealed["answer"])).decode() == sealed["answer_body"]
    opener.finish()
    assert opener.head is not None and opener.head.status == sealed["status"]


@pytest.mark.skipif(
    shutil.which("node") is None or not (FOLDER / "node_modules" / "hpke").is_dir(),
    reason="node or the npm packages are not installed: make setup-dev",
)
def test_javascript_agrees_and_is_understood() -> None:
    done = subprocess.run(
        ["node", "check_identity.mjs", identity_vectors.FILE],
        cwd=FOLDER, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    message = (made["method"], made["url"], made["headers"], made["body"].encode())
    assert verify_request(DESKTOP.id, known, NonceStore(started=0), *message, now=time.time()) == PHONE.id
    opened, _ = open_request(DESKTOP, from_base64url(made["sealed"]))
    assert (opened.method, opened.target, opened.body.decode()) == (made["method"], made["url"], made["body"])
    assert dict(opened.headers) == made["headers"]
    assert base64url(from_base64url(made["sealed"])) == made["sealed"]
