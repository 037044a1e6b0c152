"""Joining a household: by the link of a QR code, or by the code that the desktop shows.

The link carries the desktop's keys. With a typed code they are asked of whoever answers, and nothing is believed before
the answer proves that it knows the code (`orchestrator_relay.identity.pairing`). Over plain HTTP everything travels sealed.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from orchestrator_core.errors import ApplicationError, from_body
from orchestrator_relay.errors import InvalidPairing, PairingRefused, RelayError
from orchestrator_relay.identity import typed_code
from orchestrator_relay.identity.machine import Identity, PublicIdentity
from orchestrator_relay.identity.pairing import (
    PairingAnswer,
    PairingKeys,
    PairingLink,
    PairingRequest,
    Statement,
)
from orchestrator_relay.identity.pinning import certificate_of, same_fingerprint, session_for
from orchestrator_relay.identity.sealing import MEDIA_TYPE, PATH, seal_request

from mobile_sync.discovery import Discovery
from mobile_sync.errors import PairingFailed
from mobile_sync.membership import Membership

TIMEOUT_S = (2.0, 10.0)
LOOK_S = 5.0
"""How long a desktop is looked for, when only a code is given."""
MAX_ANSWER_BYTES = 64 * 1024
JSON = {"Content-Type": "application/json"}


def pair(
    link_or_code: str,
    data: Path,
    name: str,
    *,
    kind: str = "phone",
    urls: Iterable[str] = (),
    look: Callable[[], list[str]] | None = None,
) -> Membership:
    """Join the household, and write down which it is.

    Args:
        data: this device's data folder; its keys are made there when it has none.
        name: of this device, for the owner's list.
        urls: with a code: where to ask. By default every desktop that is advertised in this network.
        look: finds them instead.

    Raises:
        PairingFailed: nobody answered, or who answered refused (the code says why), or is not the desktop.
        IdentityUnusable, OSError: the data folder cannot be used.
    """
    identity = Identity.load_or_create(data)
    device = _Device(identity, name, kind)
    if PairingLink.is_link(link_or_code):
        answer = _by_link(link_or_code, device)
    else:
        answer = _by_code(link_or_code, device, [*urls] or (look or advertised)())
    membership = Membership(
        household=answer.household,
        device=name,
        urls=answer.urls,
        vps_url=answer.vps,
        vps=answer.vps_identity,
        vps_certificate=answer.vps_certificate,
    )
    membership.write(data)
    return membership


def advertised() -> list[str]:
    """The URLs of all desktops that are advertised here; waits `LOOK_S` at most for the first."""
    heard = threading.Event()
    discovery = Discovery(None, changed=lambda: heard.set())
    with closing(discovery.start()):
        waited = 0.0
        while not discovery.candidates() and waited < LOOK_S:
            heard.wait(0.2)
            heard.clear()
            waited += 0.2
        heard.wait(0.5)  # for a second one
        return [candidate.url for candidate in discovery.candidates()]


class _Device:
    """What this device says, to each household once: the same statement wherever it is asked."""

    def __init__(self, identity: Identity, name: str, kind: str) -> None:
        self._identity, self._name, self._kind = identity, name, kind
        self._said: dict[PublicIdentity, Statement] = {}

    def statement(self, household: PublicIdentity, keys: PairingKeys) -> Statement:
        if household not in self._said:
            request = PairingRequest(household, self._identity.public, self._name, self._kind)
            self._said[household] = request.statement(keys.device, self._identity)
        return self._said[household]


def _by_link(text: str, device: _Device) -> PairingAnswer:
    try:
        link = PairingLink.parse(text)
    except InvalidPairing as error:
        raise PairingFailed(error.message, error.hint, code="not_a_link") from None
    keys = PairingKeys.of_secret(link.secret, link.household)

    def ask(url: str) -> PairingAnswer:
        certificate = _pinned(url, link.vps_fingerprint) if url == link.vps else None
        return _asked(url, device, link.household, keys, certificate)

    return _first(ask, [*link.urls, *([link.vps] if link.vps else [])])


def _by_code(typed: str, device: _Device, urls: list[str]) -> PairingAnswer:
    if not typed_code.is_code(typed):
        raise PairingFailed(
            "This is neither a link nor a code: a code has twelve letters and digits.",
            "`orchestrator pair` on the desktop shows both.",
            code="not_a_code",
        )
    stretched: dict[PublicIdentity, PairingKeys] = {}

    def ask(url: str) -> PairingAnswer:
        household = _household(url)
        if household not in stretched:
            stretched[household] = PairingKeys.of_code(typed, household)
        return _asked(url, device, household, stretched[household], None)

    return _first(ask, [url.rstrip("/") for url in urls])


def _first(ask: Callable[[str], PairingAnswer], urls: list[str]) -> PairingAnswer:
    """The first answer that proves itself; a host that pretends to be the desktop keeps nobody from asking the next."""
    refusals: list[PairingFailed] = []
    for url in urls:
        try:
            return ask(url)
        except (requests.RequestException, RelayError, OSError, ValueError) as error:
            refusals.append(_failed(error))
        except ApplicationError as error:
            refusals.append(PairingFailed(error.message, error.hint, code=error.code))
    if not refusals:
        raise PairingFailed(
            "No desktop was found in this network.",
            "Name its address, or use the link that `orchestrator pair` shows.",
            code="nothing_found",
        )
    # What a desktop said of the code says more than that another address is dead.
    raise next((refusal for refusal in refusals if refusal.code != "no_answer"), refusals[0])


def _failed(error: Exception) -> PairingFailed:
    if isinstance(error, PairingRefused):
        return PairingFailed(error.message, error.hint, code=error.code)
    if isinstance(error, RelayError | ValueError) and not isinstance(
        error, requests.RequestException | OSError
    ):
        return PairingFailed(
            "Who answered is no desktop of ours.", "Look for the right address.", code="not_the_desktop"
        )
    return PairingFailed(
        f"The desktop does not answer ({type(error).__name__}).",
        "Is this device in the same network, and does no firewall keep it out?",
        code="no_answer",
    )


def _asked(
    url: str, device: _Device, household: PublicIdentity, keys: PairingKeys, certificate: str | None
) -> PairingAnswer:
    signed = device.statement(household, keys)
    body = json.dumps(
        {"statement": signed.text, "proof": signed.proof, "signature": signed.signature}
    ).encode("ascii")
    with session_for(certificate) as session:
        if urlsplit(url).scheme == "https":
            status, content = _sent(session, "POST", f"{url}/pair", JSON, body)
        else:
            status, content = _sealed(session, url, household, body)
    answer = _json(content)
    if status != 201:
        raise from_body(answer, status if status >= 400 else None)
    try:
        statement = Statement(str(answer["statement"]), str(answer["proof"]), str(answer["signature"]))
    except (KeyError, TypeError):
        raise ValueError("no statement") from None
    read = PairingAnswer.read(statement, signed, keys.desktop)
    if read.household != household:
        raise PairingRefused("Who answered is another household's desktop.", code="not_the_desktop")
    return read


def _household(url: str) -> PublicIdentity:
    """Who answers there says he is."""
    with session_for(None) as session:
        status, content = _sent(session, "GET", f"{url}/household", {}, b"")
    answer = _json(content)
    if status != 200:
        raise from_body(answer, status if status >= 400 else None)
    return PublicIdentity.parse(str(answer.get("identity") if isinstance(answer, Mapping) else None))


def _sealed(session: requests.Session, url: str, household: PublicIdentity, body: bytes) -> tuple[int, bytes]:
    sealed, opener = seal_request(household, "POST", "/pair", list(JSON.items()), body)
    status, content = _sent(session, "POST", f"{url}{PATH}", {"Content-Type": MEDIA_TYPE}, sealed)
    if status != 200:
        return status, content
    opened = opener.feed(content)
    opener.finish()
    assert opener.head is not None  # or `finish` had raised
    return opener.head.status, opened


def _sent(
    session: requests.Session, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, bytes]:
    """
    Raises:
        requests.RequestException, ValueError: no answer, or one that is too long.
    """
    with session.request(
        method, url, data=body, headers=dict(headers), timeout=TIMEOUT_S, allow_redirects=False, stream=True
    ) as response:
        parts, size = [], 0
        for part in response.iter_content(16 * 1024):
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise ValueError("the answer is too long")
            parts.append(part)
        return response.status_code, b"".join(parts)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _pinned(url: str, fingerprint: str | None) -> str | None:
    """The VPS's own certificate, when it is the one whose fingerprint the link names."""
    if fingerprint is None:
        return None
    parts = urlsplit(url)
    certificate = certificate_of(parts.hostname or "", parts.port or 443, TIMEOUT_S[0])
    if not same_fingerprint(certificate, fingerprint):
        raise PairingRefused(
            "Who answers for the VPS has another certificate than the link says.", code="not_the_desktop"
        )
    return certificate
