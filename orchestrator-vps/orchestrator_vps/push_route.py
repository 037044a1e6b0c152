"""`/push/news`: the desktop has this tier, which is there by day and night, tell its owner's devices."""

from __future__ import annotations

from orchestrator_core.news import News
from orchestrator_http.api import Api
from orchestrator_http.services import services
from pydantic import BaseModel

api = Api("push news", answered_by="here", for_desktop="source")


class NewsAnswer(BaseModel):
    ids: list[str]


@api.route("POST", "/push/news", summary="Have the owner's devices told", status=202, max_body_bytes=65_536)
def tell(body: News) -> NewsAnswer:
    """Sending it again, or from two tiers, changes nothing: what has no new id was told before."""
    services().push.tell(body)
    return NewsAnswer(ids=body.ids)
