"""Bodies of `/push`. A subscription is what a browser's `PushSubscription.toJSON()` gives."""

from __future__ import annotations

import base64
from typing import Annotated

from orchestrator_core.errors import InvalidRequest
from pydantic import Field

from orchestrator_http.push.addresses import MAX_ENDPOINT_CHARS
from orchestrator_http.schemas.common import Answer, Body

EndpointUrl = Annotated[str, Field(min_length=1, max_length=MAX_ENDPOINT_CHARS)]
Encoded = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,200}={0,2}$")]


class SubscriptionKeys(Body):
    p256dh: Encoded = Field(
        description="The client's public key: an uncompressed point of P-256, in base64url."
    )
    auth: Encoded = Field(description="16 secret bytes of the client, in base64url.")

    def check(self) -> None:
        """
        Raises:
            InvalidRequest: nothing can be encrypted for them.
        """
        # Imported where it is used: it takes several megabytes.
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _bytes(self.p256dh))
            if len(_bytes(self.auth)) == 16:
                return
        except ValueError:
            pass
        raise InvalidRequest(
            "The keys of the subscription cannot be used.",
            param="keys",
            hint="Send what PushSubscription.toJSON() gives.",
        )


class SubscribeBody(Body):
    endpoint: EndpointUrl = Field(description="Where the push service takes messages for this client.")
    keys: SubscriptionKeys
    name: str = Field("", max_length=100, description="For the owner's list.")


class UnsubscribeBody(Body):
    endpoint: EndpointUrl | None = Field(None, description="As it was given when subscribing.")
    subscription_id: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="As GET /push lists it."
    )


class SubscriptionAnswer(Answer):
    subscription_id: str
    service: str = Field(description="Origin of the push service; the rest of the endpoint is a secret.")
    name: str
    device: str | None = Field(description="The paired device that made it.")
    created_at: str
    delivered_at: str | None
    problem: str = Field(description="Why the last attempt failed; empty when it did not.")
    failures: int = Field(description="In a row.")


class PushAnswer(Answer):
    public_key: str = Field(
        description="`applicationServerKey` to subscribe with. It names the tier that sends."
    )
    tier: str
    subscriptions: list[SubscriptionAnswer]


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
