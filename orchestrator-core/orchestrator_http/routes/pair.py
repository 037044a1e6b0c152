"""`/household` and `/pair`: what a device that is not known yet may ask."""

from __future__ import annotations

from typing import Annotated

from flask import request
from orchestrator_core.errors import Conflict, Forbidden, InvalidRequest, NotFound
from orchestrator_relay.errors import InvalidPairing, PairingRefused
from orchestrator_relay.identity.pairing import MAX_STATEMENT_CHARS, Statement
from pydantic import BaseModel, Field

from orchestrator_http.api import Api
from orchestrator_http.schemas.common import Body
from orchestrator_http.services import services

MAX_BODY_BYTES = 16 * 1024

api = Api("pairing", open=True, answered_by="desktop")

Proof = Annotated[str, Field(min_length=1, max_length=100)]


class HouseholdAnswer(BaseModel):
    id: str = Field(description="Fingerprint of the household's signing key.")
    identity: str = Field(description="Its public keys: Ed25519 and X25519, 64 bytes as base64url.")


class StatementBody(Body):
    statement: str = Field(
        min_length=1, max_length=MAX_STATEMENT_CHARS, description="JSON, as docs/pairing.md says."
    )
    proof: Proof = Field(description="HMAC-SHA256 under the key of the one-time secret; base64url.")
    signature: Proof = Field(description="Ed25519, of the key in the statement; base64url.")


class StatementAnswer(BaseModel):
    statement: str
    proof: str
    signature: str


@api.route("GET", "/household", summary="The household's public keys", errors=(404,), answered_by="here")
def household() -> HouseholdAnswer:
    """Anybody can answer this with anything: it is worth what a proof says afterwards, of a pairing or of a signed answer."""
    public = services().household.public
    if public is None:
        raise NotFound("This server belongs to no household yet.", hint="Connect the desktop to it once.")
    return HouseholdAnswer(id=public.id, identity=public.text())


@api.route(
    "POST",
    "/pair",
    summary="Pair a device",
    errors=(403, 409, 429),
    max_body_bytes=MAX_BODY_BYTES,
    status=201,
)
def pair(body: StatementBody) -> StatementAnswer:
    """With a code that the desktop shows (`POST /pairing`). 403 with the code `wrong_code`, `expired_code`, `used_code`,
    `pairing_locked`, `pairing_cancelled` or `no_pairing`. The same request again, by the device that was let in, gets the same answer."""
    here = services()
    if here.pairings is None:
        raise Conflict(
            "Only the desktop can pair a device, and it is not connected.",
            code="desktop_away",
            hint="Start it, and try again.",
        )
    address = request.remote_addr or ""
    try:
        answer = here.pairings.pair(Statement(body.statement, body.proof, body.signature))
    except PairingRefused as error:
        here.access.note("pairing_refused", address=address, detail=error.code)
        if error.code in ("wrong_code", "pairing_locked"):
            here.pairing_attempts.add(address, "pairing code")
        raise Forbidden(error.message, hint=error.hint, code=error.code) from None
    except InvalidPairing as error:
        raise InvalidRequest(error.message, hint=error.hint) from None
    return StatementAnswer(statement=answer.text, proof=answer.proof, signature=answer.signature)
