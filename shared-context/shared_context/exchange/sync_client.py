"""Exchanges with a server over HTTP. Needs no web framework.

Every step may be repeated, so a step that got no answer, or a 5xx, is sent again a few times with a
growing pause; an exchange that failed is simply begun again later.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Self

import requests
from pydantic import ValidationError

from shared_context.errors import ExchangeRejected, PeerRefused, PeerUnreachable
from shared_context.exchange.exchange import Exchange, PageSize, Report
from shared_context.exchange.replica import Replica
from shared_context.exchange.wire import SyncAnswer, SyncRequest

MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024
"""Of a notice: they have about a hundred bytes."""

ATTEMPTS = 3
FIRST_PAUSE_S = 0.2
PASSING = frozenset({429, 502, 503, 504})
"""Statuses whose cause may pass by itself."""

REFUSED_CONTENT = frozenset({400, 413, 422})
"""Statuses of a request whose documents the server does not take."""

SILENCE_S = 60.0
"""Without even a ping for so long, a stream of notices is taken for dead."""


class SyncClient:
    """One server, as a peer of this replica. Not safe for use by two threads at once.

    Args:
        url: the server, for example `https://vps.example.org`; `/sync` is added.
        key: the server's API key; sent only to this address, never after a redirect.
        timeout_s: for connecting, and for each pause in an answer.
        verify: False or a bundle's path only where certificates are pinned in another way.
        page: how much to send and to ask for at once.
        session: one that knows already whom to trust (`verify` is left to it); closed with this.
    """

    def __init__(
        self,
        url: str,
        replica: Replica,
        *,
        key: str | None = None,
        timeout_s: float = 30.0,
        verify: bool | str = True,
        page: PageSize | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._replica = replica
        self._timeout_s = timeout_s
        self._page = page
        self._session = session or requests.Session()
        if session is None:
            self._session.verify = verify
        self._closed = threading.Event()
        # Otherwise a .netrc entry for the host would replace the key.
        self._session.trust_env = False
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def __repr__(self) -> str:
        return f"SyncClient({self._url!r})"

    def exchange(self) -> Report:
        """Exchange until both have the same, or nothing moves any more (see `Report.complete`).

        Documents that one side refuses do not keep the log from being exchanged; see
        `Report.documents_problem`.

        Raises:
            PeerUnreachable, PeerRefused, ExchangeRejected, StoreError: what was exchanged until then
            stays on both sides.
        """
        exchange = Exchange(self._replica, self._page)
        while (request := exchange.next_request()) is not None:
            try:
                exchange.take(self._post(request))
            except PeerRefused as refusal:
                if request.update is None or refusal.peer_status not in REFUSED_CONTENT:
                    raise
                exchange.go_on_without_documents(refusal.message)
        return exchange.report

    def notices(self) -> Iterator[str]:
        """The server's state whenever it changed, the present one first; an exchange is due when
        it differs from the one before. Ends when the server ends it or `close` is called.

        Raises:
            PeerUnreachable, PeerRefused.
        """
        try:
            with self._session.get(
                f"{self._url}/sync/events",
                stream=True,
                timeout=(self._timeout_s, SILENCE_S),
                allow_redirects=False,
            ) as response:
                self._check(response)
                for line in _lines(response, self._closed):
                    if line.startswith(b"data: "):
                        yield str(json.loads(line[6:]).get("state", ""))
        except (requests.RequestException, ValueError) as error:
            if not self._closed.is_set():
                raise self._unreachable(error) from error

    def close(self) -> None:
        self._closed.set()
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _post(self, request: SyncRequest) -> SyncAnswer:
        # With its nulls: that of a `state` says that the conversation was deleted.
        body = request.model_dump_json().encode("utf-8")
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                return self._post_once(body)
            except PeerUnreachable:
                if last:
                    raise
            except PeerRefused as refusal:
                if last or refusal.peer_status not in PASSING:
                    raise
            self._closed.wait(FIRST_PAUSE_S * 4**attempt)
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    def _post_once(self, body: bytes) -> SyncAnswer:
        try:
            with self._session.post(
                f"{self._url}/sync",
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=self._timeout_s,
                allow_redirects=False,
                stream=True,
            ) as response:
                self._check(response)
                content = _bounded(response)
        except requests.RequestException as error:
            raise self._unreachable(error) from error
        try:
            return SyncAnswer.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ExchangeRejected(
                f"The answer of {self._url} is no answer to an exchange: {where}: {first['msg']}.",
                "Check the address, and that both run versions that fit each other.",
            ) from error

    def _check(self, response: requests.Response) -> None:
        if response.status_code == 200:
            return
        try:
            message = json.loads(next(response.iter_content(4096), b""))["error"]["message"]
        except (ValueError, KeyError, TypeError, requests.RequestException):
            message = response.reason
        raise PeerRefused(
            f"{self._url} answered {response.status_code}: {str(message)[:300]}",
            "Check the API key." if response.status_code in (401, 403) else None,
            peer_status=response.status_code,
        )

    def _unreachable(self, error: Exception) -> PeerUnreachable:
        kind = type(error).__name__
        return PeerUnreachable(
            f"{self._url} gives no answer ({kind}).", "It is tried again at the next exchange."
        )


def _bounded(response: requests.Response) -> bytes:
    parts, size = [], 0
    for part in response.iter_content(64 * 1024):
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise ExchangeRejected(f"The answer is larger than {MAX_ANSWER_BYTES // 1024**2} MiB.")
        parts.append(part)
    return b"".join(parts)


def _lines(response: requests.Response, closed: threading.Event) -> Iterator[bytes]:
    rest = b""
    for part in response.iter_content(None):
        if closed.is_set() or len(rest) > MAX_LINE_BYTES:
            return
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
