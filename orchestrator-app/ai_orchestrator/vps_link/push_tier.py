"""The VPS as the tier that sends push messages: it is there when the desktop is off."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import requests
from orchestrator_core.errors import ConfigurationError, TierUnreachable
from orchestrator_core.news import News
from orchestrator_core.settings import Settings
from orchestrator_http.push.delivery import Outcome, outcome_of
from orchestrator_http.routes.push import ON_BEHALF_OF
from orchestrator_relay.identity.pinning import session_for

from ai_orchestrator.vps_link import credentials
from ai_orchestrator.vps_link.credentials import VpsCredential

TIMEOUT_S = 10.0
JSON = {"Content-Type": "application/json"}


class PushTier:
    """A `NextTier`: the VPS that this desktop is enrolled with, while it is the source of truth there."""

    def __init__(self, settings: Settings) -> None:
        self._data = settings.data

    def present(self) -> bool:
        return self._credential() is not None

    def tell(self, news: News) -> Outcome:
        try:
            status, _ = self._send("POST", "/push/news", news.model_dump_json(exclude_none=True).encode())
        except TierUnreachable as error:
            return Outcome("later", error.message)
        outcome = outcome_of(status, None, 0.0)
        # An older VPS has no such route, which is no reason to forget this one.
        return Outcome("refused", outcome.problem) if outcome.what == "gone" else outcome

    def call(self, method: str, body: bytes, device: str | None) -> tuple[int, bytes]:
        return self._send(method, "/push", body, {} if device is None else {ON_BEHALF_OF: device})

    def _send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str] = MappingProxyType({})
    ) -> tuple[int, bytes]:
        credential = self._credential()
        if credential is None:
            raise TierUnreachable("This desktop is not enrolled with a VPS.")
        try:
            with session_for(credential.certificate, credential.credential) as session:
                answer = session.request(
                    *(method, credential.url + path),
                    data=body,
                    headers={**headers, **(JSON if body else {})},
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                )
                return answer.status_code, answer.content
        except (requests.RequestException, OSError) as error:
            raise TierUnreachable(
                f"The VPS, which sends push messages, cannot be reached ({type(error).__name__}).",
                hint="Try again when it is back.",
            ) from None

    def _credential(self) -> VpsCredential | None:
        try:
            credential = credentials.read(self._data)
        except ConfigurationError:
            return None
        return credential if credential is not None and credential.role == "source" else None
