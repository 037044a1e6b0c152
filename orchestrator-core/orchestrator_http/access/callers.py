"""Who asks: a device that signed its request, a holder of a key, the other tier, or anybody where no key is needed.

Covered: a device is believed by its signature alone, on every tier and also behind the relay; what the VPS passes on
without one it asks in its own name, and never as the owner. What may be done is a matter of scopes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

from flask import g, request
from orchestrator_core.errors import Forbidden, SignatureInvalid
from orchestrator_relay.wsgi_call import is_relayed
from shared_context.devices.device import DEVICE_SCOPES

from orchestrator_http.access.keys import Caller, KeyGuard, authorization
from orchestrator_http.access.origins import is_loopback
from orchestrator_http.api import Operation
from orchestrator_http.bodies import whole_body
from orchestrator_http.services import Services

SEALED = "orchestrator.sealed"
"""True in the environ of a request that came through `POST /sealed`."""

Way = Literal["loopback", "lan", "tls", "sealed", "relay"]


def identify(services: Services, keys: KeyGuard, operation: Operation | None) -> Caller:
    """Who sends the current request.

    Raises:
        Unauthorized, SignatureInvalid, Overloaded, Forbidden, RequestEntityTooLarge.
    """
    if claims_signature():
        return _device(services, keys, operation)
    if is_relayed(request.environ):
        return Caller("tier", frozenset(DEVICE_SCOPES))
    return keys.check(
        authorization(request.headers.get), request.remote_addr or "", private=way(request.environ) != "lan"
    )


def claims_signature() -> bool:
    return "Signature-Input" in request.headers


def refuse_beyond(caller: Caller, operation: Operation | None) -> None:
    """
    Raises:
        Forbidden: the caller may ask, but not for this.
    """
    # An address without a view may have one on the other tier.
    needed = set(DEVICE_SCOPES) if operation is None else {operation.scope}
    if not needed <= caller.scopes:
        raise Forbidden(
            f"This needs the scope {' and '.join(sorted(needed - caller.scopes))}.",
            code="beyond_scope",
            hint=f"The scopes that were given are: {', '.join(sorted(caller.scopes)) or 'none'}.",
        )


def way(environ: Mapping[str, Any]) -> Way:
    """By which road the request came here."""
    if is_relayed(environ):
        return "relay"
    if environ.get(SEALED) is True:
        return "sealed"
    if environ.get("wsgi.url_scheme") == "https":
        return "tls"
    return "loopback" if is_loopback(environ.get("REMOTE_ADDR", "")) else "lan"


def raw_target(environ: Mapping[str, Any]) -> str:
    """Path and query as the client wrote them, which is what it signed."""
    for name in ("RAW_URI", "REQUEST_URI"):
        raw = environ.get(name)
        if isinstance(raw, str) and raw:
            return raw
    path = quote(environ.get("PATH_INFO", "/").encode("latin-1"), safe="/:@!$&'()*+,;=~")
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _device(services: Services, keys: KeyGuard, operation: Operation | None) -> Caller:
    if operation is not None and operation.max_body_bytes is not None:
        request.max_content_length = operation.max_body_bytes
    body = whole_body(request, cache=True)
    target = raw_target(request.environ)
    try:
        device = services.household.signer_of(request.method, target, dict(request.headers), body)
    except SignatureInvalid as error:
        # The right key at the wrong time is nobody's guess.
        if error.server_time is None:
            keys.failed(request.remote_addr or "", "signature")
        else:
            g.sign_answer = True
        raise
    g.sign_answer = not is_relayed(request.environ)
    if device.revoked_at is not None:
        raise SignatureInvalid(
            "This device was revoked.",
            code="device_revoked",
            hint="Let it make a new key and pair it again, if it is still yours.",
        )
    if device.created_at:
        services.household.devices.seen(device.id, way(request.environ))
    return Caller("device", frozenset(device.scopes), device.id, device.name)
