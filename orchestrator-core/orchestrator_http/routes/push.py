"""`/push`: which devices are told when their owner is not looking."""

from __future__ import annotations

import hashlib

from flask import Response, g, request
from orchestrator_core.errors import InvalidRequest, NotFound
from pydantic import BaseModel

from orchestrator_http.api import JSON, Api
from orchestrator_http.push.addresses import Endpoint
from orchestrator_http.push.store import Subscription
from orchestrator_http.schemas.push import PushAnswer, SubscribeBody, SubscriptionAnswer, UnsubscribeBody
from orchestrator_http.services import services

ON_BEHALF_OF = "Orchestrator-Device"
"""A desktop says with it which device asks through it."""

api = Api("push", answered_by="here", for_desktop="source")


@api.route("GET", "/push", summary="The key to subscribe with, and the subscriptions", errors=(503, 507),
           answer=PushAnswer)  # fmt: skip
def show() -> PushAnswer | Response:
    """A desktop that is enrolled with a VPS answers with the VPS's: that one sends, by day and night."""
    return _elsewhere() or _listed()


@api.route("POST", "/push", summary="Subscribe to Web Push messages", status=201, errors=(409, 503, 507),
           max_body_bytes=16_384, answer=SubscriptionAnswer)  # fmt: skip
def subscribe(body: SubscribeBody) -> SubscriptionAnswer | Response:
    """An endpoint that is known gets new keys. It must be https and public, or listed in `push.local_services`."""
    here = services()
    body.keys.check()
    Endpoint.parse(body.endpoint, here.settings.push.local_services)
    answer = _elsewhere(body)
    if answer is not None:
        if answer.status_code < 400:
            # One message for each event, not one from each tier.
            here.push.store.unsubscribe(body.endpoint)
        return answer
    return _shown(
        here.push.store.subscribe(
            body.endpoint, body.keys.p256dh, body.keys.auth, body.name, _asking_device()
        )
    )


@api.route("DELETE", "/push", summary="Unsubscribe", errors=(404, 503, 507), max_body_bytes=16_384,
           answer=PushAnswer)  # fmt: skip
def unsubscribe(body: UnsubscribeBody) -> PushAnswer | Response:
    """Answers with those that are left. What was not delivered yet is dropped."""
    if body.endpoint is None and body.subscription_id is None:
        raise InvalidRequest("Name an endpoint or a subscription_id.", param="endpoint")
    removed = [
        services().push.store.unsubscribe(each.endpoint)
        for each in _subscriptions()
        if each.endpoint == body.endpoint or _id(each) == body.subscription_id
    ]
    answer = _elsewhere(body)
    if answer is not None and not (removed and answer.status_code == 404):
        return answer
    if not removed:
        raise NotFound("There is no such subscription.", hint="GET /push lists them.")
    return _listed()


def _elsewhere(body: BaseModel | None = None) -> Response | None:
    """The answer of the tier that sends in this one's place.

    Raises:
        TierUnreachable.
    """
    tier = services().push.next_tier
    if tier is None or not tier.present():
        return None
    sent = b"" if body is None else body.model_dump_json(exclude_none=True).encode()
    status, answer = tier.call(request.method, sent, _asking_device())
    return Response(answer, status=status, content_type=JSON)


def _listed() -> PushAnswer:
    here = services()
    return PushAnswer(
        public_key=here.push.public_key,
        tier=here.assistant.tier,
        subscriptions=[_shown(each) for each in _subscriptions()],
    )


def _subscriptions() -> list[Subscription]:
    """All of them for the owner; a device knows of its own."""
    device = _asking_device()
    every = services().push.subscriptions()
    return [each for each in every if device is None or each.device == device]


def _asking_device() -> str | None:
    if g.get("desktop") is not None:
        return request.headers.get(ON_BEHALF_OF)
    return g.caller.id if g.caller is not None and g.caller.kind == "device" else None


def _shown(subscription: Subscription) -> SubscriptionAnswer:
    return SubscriptionAnswer(
        subscription_id=_id(subscription),
        service=subscription.service,
        name=subscription.name,
        device=subscription.device,
        created_at=subscription.created_at,
        delivered_at=subscription.delivered_at,
        problem=subscription.problem,
        failures=subscription.failures,
    )


def _id(subscription: Subscription) -> str:
    return hashlib.sha256(subscription.endpoint.encode()).hexdigest()[:16]
