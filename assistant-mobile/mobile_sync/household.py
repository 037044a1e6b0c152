"""Requests to the household, by whatever road there is. Where a road is lost, the next is tried as far as that is harmless."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import requests
from orchestrator_core.errors import from_body
from orchestrator_core.streamed_http import (
    TRANSPORT_FAILURES,
    StreamedRequest,
    failure_words,
    is_answered,
    was_never_sent,
)
from orchestrator_relay.identity.machine import Identity

from mobile_sync.errors import ConnectionCut, NothingReachable
from mobile_sync.membership import Membership
from mobile_sync.roads import Roads, Winners
from mobile_sync.router import PROBE_S, Choice
from mobile_sync.signed_http import MAX_BODY_BYTES, Signer, session_for

SILENCE_S = 60.0
"""A server sends a ping at least every 15 s into a stream; a road is found dead much sooner, by knocking."""

ROADS_TRIED = 4
"""By one request."""


@dataclass(frozen=True)
class Reply:
    """
    Args:
        body: decoded JSON; None for an empty one.
        by: the road it came by.
    """

    body: Any
    headers: Mapping[str, str]
    by: Choice


class Household:
    """Safe from any thread.

    Args:
        data: this device's data folder, which holds its keys.
        lan: further URLs at which the desktop may be, as discovery hears of them.
        own_model: whether this device could answer itself.

    Raises:
        IdentityUnusable: the keys cannot be used.
    """

    def __init__(
        self,
        membership: Membership,
        data: Path,
        *,
        lan: Callable[[], Iterable[str]] = tuple,
        own_model: Callable[[], bool] = lambda: False,
    ) -> None:
        self.membership = membership
        self.identity = Identity.load_or_create(data)
        winners = Winners(data / "roads.json")
        self._desktop = session_for(Signer(self.identity, membership.household.id, membership.household))
        self._vps = session_for(
            Signer(self.identity, membership.household.id, membership.vps), membership.vps_certificate
        )
        self.roads = Roads(
            lambda: dict.fromkeys([*winners.all(), *lan(), *membership.urls]),
            membership.vps_url,
            self.answers,
            winners,
            own_model=own_model,
            moved=self._forget_connections,
        )

    def session(self, url: str) -> requests.Session:
        """For this road; its owner is the household."""
        vps = self.membership.vps_url
        return self._vps if vps is not None and url == vps.rstrip("/") else self._desktop

    def answers(self, url: str) -> bool:
        """Whether the server that is meant proves itself at this URL, within `PROBE_S`."""
        present = is_answered(self.session(url), f"{url}/info", PROBE_S)
        if not present:
            self._forget_connections()
        return present

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> Reply:
        """One request that is answered by JSON.

        Args:
            repeatable: may be sent again by another road when one was lost half-way; default: GET, PUT, DELETE.

        Raises:
            NothingReachable: it was not sent. ConnectionCut: it may have happened.
            ApplicationError: the server's answer.
        """
        again = method in ("GET", "PUT", "DELETE") if repeatable is None else repeatable
        for _ in range(ROADS_TRIED):
            choice = self._road()
            try:
                with self.opened(choice, method, path, body, query=query, headers=headers) as answer:
                    return Reply(answer.json(), answer.headers, choice)
            except NothingReachable:
                continue
            except ConnectionCut:
                if not again:
                    raise
        raise NothingReachable(
            "Every road to the household was lost while it was asked.", "It is tried again later."
        )

    @contextlib.contextmanager
    def opened(
        self,
        choice: Choice,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[OpenedAnswer]:
        """An answer that is being received by this road. A road that dies meanwhile ends it.

        Raises:
            NothingReachable: nobody is there; it was not sent.
            ConnectionCut: also while it is read.
            ApplicationError: the server's answer is an error.
        """
        url = choice.url
        assert url is not None
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{url}{path}" + (f"?{urlencode(given)}" if given else "")
        sent = dict(headers or {})
        content = b"" if body is None else json.dumps(body).encode("ascii")
        if body is not None:
            sent["Content-Type"] = "application/json"
        session = self.session(url)
        request = StreamedRequest(
            lambda: session.request(
                method,
                target,
                data=content,
                headers=sent,
                timeout=(PROBE_S, SILENCE_S),
                allow_redirects=False,
                stream=True,
            ),
            name="phone-reader",
        )
        with self.roads.guarded(url, request.close):
            try:
                try:
                    response = request.head()
                except TRANSPORT_FAILURES as error:
                    self.roads.failed(url)
                    raise _lost(error) from error
                if response is None:
                    raise ConnectionCut("The road to the household died.")
                self.roads.heard(url)
                answer = OpenedAnswer(request, response, lambda: self.roads.heard(url))
                answer.raise_for_error()
                yield answer
            except ConnectionCut:
                self.roads.failed(url)
                raise
            finally:
                request.close()

    def _road(self) -> Choice:
        choice = self.roads.choose(others=True)
        if choice.url is None:
            raise NothingReachable(
                f"Nothing could be asked: {choice.reason}.", "It works again with a connection."
            )
        return choice

    def _forget_connections(self) -> None:
        """Those that wait for their next request may be half open; what is under way is not touched."""
        self._desktop.close()
        self._vps.close()

    def close(self) -> None:
        self._forget_connections()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class OpenedAnswer:
    """The head of an answer, and its body as it comes."""

    def __init__(
        self, request: StreamedRequest, response: requests.Response, heard: Callable[[], None]
    ) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self._request = request
        self._heard = heard

    def chunks(self) -> Iterator[bytes]:
        """
        Raises:
            ConnectionCut.
        """
        try:
            for chunk in self._request.chunks():
                self._heard()
                yield chunk
        except (*TRANSPORT_FAILURES, ValueError) as error:
            raise ConnectionCut(f"The answer broke off ({failure_words(error)}).") from error
        if self._request.closed:
            raise ConnectionCut("The road died in the middle of the answer.")

    def json(self) -> Any:
        """
        Raises:
            ConnectionCut: it broke off, or is none.
        """
        parts, size = [], 0
        for chunk in self.chunks():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                raise ConnectionCut("The answer is longer than any that is meant.")
            parts.append(chunk)
        try:
            return json.loads(b"".join(parts)) if parts else None
        except (ValueError, RecursionError) as error:
            raise ConnectionCut("The answer is no JSON.") from error

    def raise_for_error(self) -> None:
        """
        Raises:
            ApplicationError: the status is none of success.
        """
        if self.status >= 300:
            try:
                body = self.json()
            except ConnectionCut:
                body = None
            raise from_body(body, self.status)


def _lost(error: Exception) -> NothingReachable | ConnectionCut:
    if was_never_sent(error):
        return NothingReachable(f"The server does not answer ({failure_words(error)}).")
    return ConnectionCut(f"The connection was lost ({failure_words(error)}).")
