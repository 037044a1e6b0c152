"""`/pairing`: the owner begins a pairing, watches it, ends it."""

from __future__ import annotations

import platform
from datetime import UTC, datetime, timedelta

from flask import Response
from orchestrator_core.errors import Conflict, NotFound
from orchestrator_http.access.pairings import Pairings
from orchestrator_http.access.pending_pairing import VALID_S, State
from orchestrator_http.api import Api
from orchestrator_http.schemas.common import Answer
from orchestrator_http.services import services
from orchestrator_relay.identity.machine import PublicIdentity
from orchestrator_relay.identity.pairing import PairingAnswer
from pydantic import BaseModel, Field
from shared_context.devices.registry import Devices

from ai_orchestrator.pairing.qr import svg
from ai_orchestrator.pairing.reachable import Bound, proved_urls, vps_of

MAKE_KEY = 'export ORCHESTRATOR_API_KEY="$(openssl rand -base64 32)"'
"""A server that others reach needs a key; this one is as good as any."""


class BegunAnswer(BaseModel):
    code: str = Field(description="To be typed: twelve characters. Secret, as the link is.")
    link: str = Field(description="What the QR code holds.")
    qr_svg: str
    urls: list[str] = Field(description="Addresses of this desktop that answer.")
    vps: str | None
    valid_until: str


class PairingStateAnswer(Answer):
    state: State
    wrong: int = Field(description="Tries with a wrong code; ten lock it.")
    left_s: float = Field(description="Seconds in which the code is good.")
    device: str = Field(description="Id of the device that was let in; empty while none was.")
    name: str
    kind: str


def pairing_api(bound: Bound) -> Api:
    """
    Args:
        bound: where the server listens.
    """
    api = Api("pairing-of-the-owner", scope="admin", answered_by="desktop")

    @api.route("POST", "/pairing", summary="Show a code for one device", errors=(409,), status=201)
    def begin() -> BegunAnswer:
        """Good for one device and ten minutes; an earlier code is worth nothing from now on. 409 with the code
        `loopback_only` when no device could reach this server."""
        here, pairings = services(), _pairings()
        urls = proved_urls(bound, here.household.identity.id)
        vps = vps_of(here.settings.data)
        if not urls and vps is None:
            raise Conflict(
                "No phone can reach this server: it listens on this machine only.",
                code="loopback_only",
                hint=_serve_open(here.settings.server.api_key is not None),
            )
        begun = pairings.begin(
            PairingAnswer(
                here.household.identity.public,
                platform.node()[:64] or "desktop",
                tuple(urls),
                vps.url if vps else None,
                _vps_identity(here.household.devices) if vps else None,
                vps.certificate if vps else None,
            )
        )
        until = datetime.now(UTC) + timedelta(seconds=VALID_S)
        link = begun.link.text()
        return BegunAnswer(
            code=begun.code,
            link=link,
            qr_svg=svg(link),
            urls=urls,
            vps=vps.url if vps else None,
            valid_until=until.isoformat(timespec="seconds").replace("+00:00", "Z"),
        )

    @api.route("GET", "/pairing", summary="How the latest pairing goes", errors=(404,), quiet=True)
    def state() -> PairingStateAnswer:
        shown = _pairings().state()
        if shown is None:
            raise NotFound("No pairing was begun.", hint="POST /pairing begins one.")
        return PairingStateAnswer.model_validate(shown)

    @api.route("DELETE", "/pairing", summary="End a pairing that waits", status=204)
    def cancel() -> Response:
        """The code is worth nothing from now on. A device that was let in stays: `DELETE /devices`."""
        _pairings().cancel()
        return Response(status=204)

    return api


def _serve_open(has_key: bool) -> str:
    key = "" if has_key else f"It needs a key then: `{MAKE_KEY}` "
    return f"Stop it. {key}Start it so that devices at home reach it: `orchestrator serve --host '*'`"


def _vps_identity(devices: Devices) -> PublicIdentity | None:
    keys = [device.public for device in devices.list() if device.kind == "vps" and device.revoked_at is None]
    return PublicIdentity.parse(keys[0]) if keys else None


def _pairings() -> Pairings:
    pairings = services().pairings
    assert pairings is not None  # of the desktop
    return pairings
