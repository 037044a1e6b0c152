"""Makes docs/vectors/identity.json, which any client's signing and sealing can be checked against.

    python tests/support/identity_vectors.py      writes it anew

Everything but the two sealed messages comes out the same every time: keys, times and nonces are fixed here.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any
from unittest import mock

from orchestrator_relay.identity import sealing, signatures
from orchestrator_relay.identity.event_chain import EventChain
from orchestrator_relay.identity.machine import Identity, base64url
from orchestrator_relay.identity.signatures import sign_answer, sign_request
from shared_context.devices.device import DEVICE_SCOPES, Device, grant_of

FILE = Path(__file__).parents[2] / "docs" / "vectors" / "identity.json"
CREATED = 1_800_000_000
NONCE = "a nonce of 16 to 64 chars"
EVENTS = [
    {"id": "1", "event": "", "data": '{"token":"Hello 🦜"}'},
    {"id": "2", "event": "seam", "data": '{"tier":"vps"}'},
    {"id": "3", "event": "", "data": "two\nlines"},
]


def identity_of(name: str) -> Identity:
    """Keys for tests, from their name; never use them for anything else."""
    seeds = [f"{name} {use}".ljust(32, ".").encode() for use in ("signing", "sealing")]
    return Identity(seeds[0], seeds[1])


DESKTOP, PHONE = identity_of("desktop"), identity_of("phone")


def vectors() -> dict[str, Any]:
    """What is the same every time."""
    request = _request()
    return {
        "about": "docs/identity.md. Secret keys are here because these are test vectors; binary values are base64url.",
        "identities": {name: _shown(one) for name, one in (("desktop", DESKTOP), ("phone", PHONE))},
        "household": DESKTOP.id,
        "request": request,
        "request_without_body": _request(method="GET", url="/conversations?limit=5", headers={}, body=""),
        "answer": _answer(request["signed_headers"]),
        "stream": _stream(request["signed_headers"]),
        "grant": _grant(),
    }


def sealed() -> dict[str, Any]:
    """A sealed request and its answer: another one each time."""
    secret = bytes(range(32))
    headers = (("content-type", "application/json"),)
    with mock.patch.object(sealing.secrets, "token_bytes", lambda count: secret):
        wire, _ = sealing.seal_request(DESKTOP.public, "POST", "/chat?x=1", headers, b'{"message": "Hello"}')
    _, sealer = sealing.open_request(DESKTOP, wire)
    parts = [
        sealer.head(200, headers),
        sealer.part(b"data: one\n\n"),
        sealer.part(b"data: two\n\n"),
        sealer.end(),
    ]
    return {
        "request": base64url(wire),
        "method": "POST",
        "target": "/chat?x=1",
        "headers": [list(header) for header in headers],
        "body": '{"message": "Hello"}',
        "secret": base64url(secret),
        "answer": base64url(b"".join(parts)),
        "status": 200,
        "answer_headers": [list(header) for header in headers],
        "answer_body": "data: one\n\ndata: two\n\n",
    }


def _shown(identity: Identity) -> dict[str, str]:
    return {
        "id": identity.id,
        "public": identity.public.text(),
        "secret_signing": base64url(identity.signing_key.private_bytes_raw()),
        "secret_sealing": base64url(identity.sealing_key.private_bytes_raw()),
    }


def _request(
    method: str = "POST",
    url: str = "/chat?tier=auto&q=%C3%A4",
    headers: dict[str, str] | None = None,
    body: str = '{"message": "Hello 🦜"}',
) -> dict[str, Any]:
    headers = {"content-type": "application/json"} if headers is None else headers
    with mock.patch.object(signatures.secrets, "token_urlsafe", lambda count: NONCE):
        added = sign_request(PHONE, DESKTOP.id, method, url, headers, body.encode(), now=CREATED)
    return {
        "method": method,
        "url": url,
        "headers": headers,
        "body": body,
        "created": CREATED,
        "nonce": NONCE,
        "signed_headers": {**headers, **{name.lower(): value for name, value in added.items()}},
    }


def _answer(asked: dict[str, str]) -> dict[str, Any]:
    headers, body = {"content-type": "application/json"}, '{"response": "Hi."}'
    added = sign_answer(DESKTOP, DESKTOP.id, asked, 200, headers, body.encode(), now=CREATED)
    signed = {**headers, **{name.lower(): value for name, value in added.items()}}
    return {"status": 200, "body": body, "signed_headers": signed}


def _stream(asked: dict[str, str]) -> dict[str, Any]:
    chain = EventChain(DESKTOP.id, asked)
    for event in EVENTS:
        chain.add(event["data"], event=event["event"], id=event["id"])
    return {"events": EVENTS, "last_event": {"event": "signature", "data": chain.sign(DESKTOP)}}


def _grant() -> dict[str, str]:
    moment = "2027-01-15T08:00:00.000000Z"
    device = Device(PHONE.id, "Pixel", "phone", DEVICE_SCOPES, PHONE.public.text(), moment)
    text = grant_of(device, DESKTOP.sign)
    statement, _, signature = text.rpartition(".")
    assert base64.b64decode(signature)
    return {"value": text, "statement": statement, "signature": signature}


def write() -> None:
    content = {**vectors(), "sealed": sealed()}
    FILE.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
