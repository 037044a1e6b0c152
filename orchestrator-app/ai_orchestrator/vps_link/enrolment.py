"""Becoming a desktop of a VPS, and ceasing to be one: the client of `/enroll` and `/desktops`.

Covered: the code and the credential go only to a server whose certificate the system trusts or a person
has compared; never over a network in plain text, unless `--insecure` names a private address;
never along a redirect.
Not covered: a person who confirms a fingerprint without comparing it.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import requests
from orchestrator_core.errors import (
    ApplicationError,
    Forbidden,
    InvalidRequest,
    TierLost,
    TierUnreachable,
    Unauthorized,
    from_body,
)
from orchestrator_relay.errors import InvalidFingerprint
from orchestrator_relay.identity.pinning import certificate_of, fingerprint, same_fingerprint, session_for
from shared_context.storage.identity import now

from ai_orchestrator.vps_link.credentials import VpsCredential

TIMEOUT_S = 15.0

Confirm = Callable[[str], bool]
"""Shown the fingerprint of an unknown certificate; says whether it is the VPS's."""


def enroll(
    url: str,
    code: str,
    *,
    name: str,
    replica: str,
    fingerprint: str | None = None,
    insecure: bool = False,
    confirm: Confirm = lambda shown: False,
    timeout_s: float = TIMEOUT_S,
) -> VpsCredential:
    """Exchange a code for a credential. Nothing is written here.

    Args:
        url: of the VPS; `https://` may be left out.
        name: shown in the VPS's list of desktops.
        replica: id of this desktop's memory; "" when it is not known.
        fingerprint: of its certificate, as deploy_vps.sh printed it.
        insecure: plain HTTP is wanted; for tests on this machine or a private network.
        timeout_s: for each answer of the VPS.

    Raises:
        InvalidRequest: the address cannot be used.
        Forbidden: the certificate is not the expected one, or was not confirmed.
        TierUnreachable: the VPS does not answer; the code is still good.
        TierLost: it took the code and did not answer in time.
        ApplicationError: the VPS refused, for the reason it gives.
    """
    base = normal_url(url, insecure=insecure)
    certificate = _trusted_certificate(base, fingerprint, confirm)
    body = {"code": code.strip(), "name": name, "replica": replica}
    with session_for(certificate) as session:
        answer = _call(session, "POST", f"{base}/enroll", timeout_s, json=body)
    return _credential(base, certificate, answer)


def trust(
    credential: VpsCredential,
    *,
    fingerprint: str | None = None,
    confirm: Confirm = lambda shown: False,
) -> VpsCredential:
    """The enrolment with the certificate that the VPS shows now, compared as when it was enrolled. Nothing is
    written here.

    Raises:
        InvalidRequest, Forbidden, TierUnreachable: as `enroll`.
    """
    return replace(credential, certificate=_trusted_certificate(credential.url, fingerprint, confirm))


def leave(credential: VpsCredential) -> None:
    """Have the VPS forget this desktop. One that does not know it has done so.

    Raises:
        TierUnreachable: it does not answer, so it does not know.
        ApplicationError: it refused.
    """
    with session_for(credential.certificate, credential.credential) as session:
        try:
            _call(session, "DELETE", f"{credential.url}/desktops/self", TIMEOUT_S)
        except ApplicationError as error:
            if not isinstance(error, Unauthorized):
                raise


def normal_url(url: str, *, insecure: bool = False) -> str:
    """`https://host[:port][/path]`, checked.

    Raises:
        InvalidRequest: it is no address of a server, or plain HTTP where that is not for tests.
    """
    text = url.strip()
    text = (text if "://" in text else f"https://{text}").rstrip("/")
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or parts.query or parts.fragment or "@" in parts.netloc:
        raise InvalidRequest(
            f"{url.rpartition('@')[2][:200]!r} is no address of a VPS.",
            hint="For example: https://vps.example.org",
        )
    if parts.scheme == "http":
        _refuse_plain(parts.hostname or "", insecure)
    return text


def _refuse_plain(host: str, insecure: bool) -> None:
    if not insecure:
        raise InvalidRequest(
            "Over plain HTTP everybody on the way could read the credential and all conversations.",
            hint="Use https://; a self-signed certificate will do. For tests on a private network: --insecure",
        )
    try:
        infos = socket.getaddrinfo(host, None)
    except OSError:
        raise TierUnreachable(f"The name {host!r} is not known.") from None
    addresses = [ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in infos]
    if not all(address.is_private or address.is_loopback for address in addresses):
        raise InvalidRequest(
            f"{host} is not on a private network.", hint="--insecure is for those only; use https://"
        )


def _trusted_certificate(base: str, expected: str | None, confirm: Confirm) -> str | None:
    """The certificate to pin; None when the system's authorities vouch for it, so that it may be
    renewed without enrolling again.

    Raises:
        Forbidden, InvalidRequest, TierUnreachable.
    """
    parts = urlsplit(base)
    if parts.scheme == "http":
        return None
    host, port = parts.hostname or "", parts.port or 443
    try:
        shown = certificate_of(host, port, TIMEOUT_S)
        vouched = _system_trusts(host, port)
    except OSError as error:
        raise TierUnreachable(
            f"There is no TLS server at {host} port {port}: {error.strerror or type(error).__name__}.",
            hint="Check the address, and that the VPS runs.",
        ) from None
    if expected is not None:
        try:
            same = same_fingerprint(shown, expected)
        except InvalidFingerprint as error:
            raise InvalidRequest(error.message, hint=error.hint) from None
        if not same:
            raise Forbidden(
                f"The certificate of {host} has another fingerprint: {fingerprint(shown)}.",
                code="wrong_fingerprint",
                hint="Compare it with what deploy_vps.sh printed. If they differ, somebody is in between.",
            )
    elif not vouched and not confirm(fingerprint(shown)):
        raise Forbidden(
            f"The certificate of {host} is not known, and was not confirmed.",
            code="unknown_certificate",
            hint=f"Compare {fingerprint(shown)} with what deploy_vps.sh printed, "
            "and give it with --fingerprint.",
        )
    return None if vouched else shown


def _system_trusts(host: str, port: int) -> bool:
    context = ssl.create_default_context()
    with socket.create_connection((host, port), TIMEOUT_S) as plain:
        try:
            with context.wrap_socket(plain, server_hostname=host):
                return True
        except ssl.SSLCertVerificationError:
            return False


def _call(
    session: requests.Session, method: str, url: str, timeout_s: float, **options: Any
) -> dict[str, Any]:
    try:
        response = session.request(method, url, timeout=timeout_s, allow_redirects=False, **options)
        body = response.json() if response.content else {}
    except requests.exceptions.ConnectionError as error:
        raise TierUnreachable(
            f"The VPS does not answer at {url} ({type(error).__name__}).",
            hint="Check the address, and that the VPS runs.",
        ) from None
    except requests.Timeout:
        raise TierLost(
            f"The VPS did not answer in time at {url}.",
            hint="Try again with a new code: this one may be used up.",
        ) from None
    except (requests.RequestException, ValueError):
        raise TierUnreachable(f"What answers at {url} is no VPS of Orchestrator.") from None
    if response.status_code in (200, 201) and isinstance(body, dict):
        return body
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        raise from_body(body, response.status_code)
    raise TierUnreachable(f"What answers at {url} is no VPS of Orchestrator (status {response.status_code}).")


def _credential(base: str, certificate: str | None, answer: dict[str, Any]) -> VpsCredential:
    fields = {name: answer.get(name, default) for name, default in (("tier", "vps"), ("role", "source"))}
    wanted = {name: answer.get(name) for name in ("desktop_id", "credential")}
    if not all(isinstance(value, str) and value for value in (*fields.values(), *wanted.values())):
        raise TierUnreachable(f"What answers at {base} is no VPS of Orchestrator.")
    return VpsCredential(
        url=base,
        desktop_id=str(wanted["desktop_id"]),
        credential=str(wanted["credential"]),
        certificate=certificate,
        tier=str(fields["tier"]),
        role=str(fields["role"]),
        enrolled_at=now(),
    )
