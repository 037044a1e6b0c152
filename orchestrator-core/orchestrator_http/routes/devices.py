"""`/devices`: who is paired, and who no longer is. Both tiers have the same registry, and take revocations."""

from __future__ import annotations

from typing import Annotated

from flask import g, request
from orchestrator_core.errors import Forbidden
from pydantic import BaseModel, Field
from shared_context.devices.device import MAX_NAME_CHARS, Device

from orchestrator_http.access.keys import Caller
from orchestrator_http.api import Api
from orchestrator_http.schemas.common import Answer, Body, Parameters
from orchestrator_http.services import services

api = Api("devices", answered_by="here")


class DevicePath(Parameters):
    device_id: Annotated[str, Field(pattern=r"^[a-z0-9]{1,64}$")]


class RenameBody(Body):
    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]


class DeviceAnswer(Answer):
    id: str = Field(description="Fingerprint of its key.")
    name: str
    kind: str = Field(description="`phone`, `laptop`, `vps`…")
    scopes: list[str]
    public: str = Field(description="Its public keys, as docs/identity.md writes them.")
    created_at: str
    revoked_at: str | None
    last_seen_at: str | None = Field(description="By this tier.")
    last_seen_by: str | None = Field(description="By which way: `lan`, `sealed`, `tls`, `relay`, `loopback`.")


class DevicesAnswer(BaseModel):
    household: str | None = Field(description="Its id; null on a VPS that no desktop has told it yet.")
    devices: list[DeviceAnswer]


@api.route("GET", "/devices", summary="The paired devices")
def index() -> DevicesAnswer:
    """The latest first; revoked ones too."""
    household = services().household
    public = household.public
    return DevicesAnswer(
        household=None if public is None else public.id,
        devices=[_shown(device) for device in household.devices.list()],
    )


@api.route("PATCH", "/devices/<device_id>", summary="Give a device another name", errors=(404, 507))
def rename(path: DevicePath, body: RenameBody) -> DeviceAnswer:
    """A device may rename itself; others need the scope `admin`."""
    _refuse_others(path.device_id)
    return _shown(services().household.devices.rename(path.device_id, body.name))


@api.route("DELETE", "/devices/<device_id>", summary="Refuse a device from now on", errors=(404, 507))
def revoke(path: DevicePath) -> DeviceAnswer:
    """For good, here at once and on the other tiers with the next exchange. A device may revoke itself; others need the
    scope `admin`."""
    _refuse_others(path.device_id)
    here = services()
    device = here.household.devices.revoke(path.device_id)
    here.access.note("revoked", subject=device.id, address=request.remote_addr or "", detail=device.name)
    return _shown(device)


def _refuse_others(device_id: str) -> None:
    """
    Raises:
        Forbidden: the caller is neither this device nor the owner.
    """
    caller: Caller = g.caller
    if caller.id != device_id and "admin" not in caller.scopes:
        raise Forbidden("This needs the scope admin.", code="beyond_scope")


def _shown(device: Device) -> DeviceAnswer:
    return DeviceAnswer.model_validate(device)
