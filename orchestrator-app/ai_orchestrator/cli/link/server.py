"""The link to a server over HTTP."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import requests
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import (
    BackendLoading,
    BackendTimeout,
    BackendUnreachable,
    Unauthorized,
    from_body,
)
from orchestrator_core.event_stream import events_in
from orchestrator_core.streamed_http import TRANSPORT_FAILURES, is_answered, pieces

from ai_orchestrator import server_file
from ai_orchestrator.cli.link.answers import AnswerEvent, export_name

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

PROBE_TIMEOUT_S = 2.0
CONNECT_TIMEOUT_S = 5.0
SILENCE_TIMEOUT_S = 60.0
"""The server sends a ping at least every 15 s; longer silence means that it is gone."""

LOADING_WAIT_S = 300.0
LOADING_POLL_S = 0.3

RECONNECT_WAITS_S = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)


def running_server(settings: Settings) -> ServerLink | None:
    """The server that holds the data folder, if one answers."""
    address = server_file.read(settings.data)
    if address is None:
        return None
    link = ServerLink(address.url, _key_for(address, settings), data=settings.data)
    if link.answers():
        return link
    link.close()
    return None


def _key_for(address: server_file.ServerAddress, settings: Settings) -> str | None:
    """What may be sent there: the server's own key, else the settings'."""
    if address.key and address.is_local:
        return address.key
    key = settings.server.api_key
    trusted = key is not None and address.trusted(settings.server.host)
    return key.get_secret_value() if key is not None and trusted else None


class ServerLink:
    """Speaks the HTTP API of DESIGN §6.

    Args:
        url: the server's address.
        key: API key, sent with every request.
        data: the server's data folder, where this machine can see it.
        session: knows by itself whom to trust, and the key.
    """

    remote = True

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        data: Path | None = None,
        session: requests.Session | None = None,
    ) -> None:
        self.where = url.rstrip("/")
        self._data = data
        self._session = session or requests.Session()
        # A proxy from the environment would see the key, and cannot reach loopback anyway.
        self._session.trust_env = False
        if key:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def answers(self) -> bool:
        """Whether one of our servers is there (ready or not)."""
        return is_answered(self._session, f"{self.where}/health", PROBE_TIMEOUT_S)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        **query: Any,
    ) -> Any:
        """One request; returns the decoded answer (None for an empty one).

        Args:
            body: JSON, or bytes as they stand.

        Raises:
            OrchestratorError: the server's error, or BackendUnreachable.
        """
        with self._send(method, path, body=body, headers=headers, query=query) as response:
            return response.json() if response.content else None

    def model(self) -> str:
        """Waits for a model that is being loaded, `LOADING_WAIT_S` at most.

        Raises:
            BackendLoading: it takes longer. ModelNotFound, ModelUnusable: it cannot be loaded.
        """
        deadline = time.monotonic() + LOADING_WAIT_S
        while True:
            try:
                return str(self.call("GET", "/model/info")["model"])
            except BackendLoading:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(LOADING_POLL_S)

    def ask(self, request: ChatRequest) -> ServerAnswer:
        body = request.model_dump(exclude_none=True)
        return ServerAnswer(self, self._send("POST", "/chat/stream", body=body, stream=True))

    def latest(self) -> str | None:
        listed = self.call("GET", "/conversations", limit=20)["conversations"]
        return next(
            (
                str(conversation["conversation_id"])
                for conversation in listed
                if conversation["turn_count"] > 0
            ),
            None,
        )

    def history(self, conversation_id: str) -> list[Mapping[str, Any]]:
        return list(self.call("GET", f"/conversations/{quote(conversation_id, safe='')}")["history"])

    def clear(self, conversation_id: str) -> None:
        self.call("DELETE", "/conversation", conversation_id=conversation_id)

    def save(self, conversation_id: str) -> str:
        body = {"conversation_id": conversation_id, "filename": export_name(conversation_id)}
        name = self.call("POST", "/conversation/save", body=body)["filename"]
        return str((self._data or Path()) / "exports" / name)

    def preview(self, conversation_id: str | None, message: str | None) -> Mapping[str, Any]:
        path = "/context/preview"
        return dict(self.call("GET", path, conversation_id=conversation_id, message=message))

    def draft_handoff(self, conversation_id: str, use_model: bool) -> dict[str, Any]:
        body = {"conversation_id": conversation_id, "use_model": use_model}
        return dict(self.call("POST", "/handoff", body=body))

    def confirm_handoff(self, confirmation: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.call("POST", "/handoff/confirm", body=dict(confirmation)))

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        stream: bool = False,
    ) -> requests.Response:
        silence = SILENCE_TIMEOUT_S
        try:
            response = self._session.request(
                method,
                self.where + path,
                json=None if isinstance(body, bytes) else body,
                data=body if isinstance(body, bytes) else None,
                headers=dict(headers or {}),
                params={name: value for name, value in (query or {}).items() if value is not None},
                stream=stream,
                timeout=(CONNECT_TIMEOUT_S, silence),
                allow_redirects=False,
            )
        except requests.Timeout:
            raise BackendTimeout(f"The server at {self.where} did not answer within {silence:g} s.") from None
        except requests.RequestException as error:
            raise BackendUnreachable(
                f"The server at {self.where} cannot be reached ({type(error).__name__}).",
                hint="Is `orchestrator serve` still running?",
            ) from None
        if response.status_code < 300:
            return response
        with response:
            try:
                body = response.json()
            except ValueError:
                body = None
        problem = from_body(body, response.status_code)
        if isinstance(problem, Unauthorized):
            problem = problem.with_hint("Set ORCHESTRATOR_API_KEY to the server's key.")
        raise problem


class ServerAnswer:
    """An answer streamed by a server. A lost connection is taken up again at its offset."""

    def __init__(self, link: ServerLink, response: requests.Response) -> None:
        self._link = link
        self._response: requests.Response | None = response
        self._run_id = response.headers.get("X-Run-Id")
        self._offset = 0

    def __iter__(self) -> Iterator[AnswerEvent]:
        attempt = 0
        while True:
            before = self._offset
            if self._response is None:
                self._reconnect(attempt)
            try:
                for event in self._events():
                    yield event
                    if event.kind == "done":
                        return
            except TRANSPORT_FAILURES:
                pass
            attempt = 0 if self._offset > before else attempt + 1

    def cancel(self) -> None:
        """The run is stopped on the server; iterating again shows how it ended."""
        self._drop()
        if self._run_id is not None:
            self._link.call("DELETE", f"/runs/{quote(self._run_id, safe='')}")

    def _events(self) -> Iterator[AnswerEvent]:
        if self._response is None:
            return
        try:
            for event in events_in(pieces(self._response)):
                data = json.loads(event.data)
                if event.name == "error":
                    raise from_body(data)
                if event.event_id.isdecimal():
                    self._offset = int(event.event_id)
                if event.name == "seam":
                    yield AnswerEvent("seam", data)
                elif data.get("done"):
                    yield AnswerEvent("done", data)
                elif "token" in data:
                    yield AnswerEvent("token", data)
        finally:
            self._drop()

    def _reconnect(self, attempt: int) -> None:
        """
        Raises:
            BackendUnreachable: the server stayed away.
        """
        if self._run_id is None or attempt >= len(RECONNECT_WAITS_S):
            raise BackendUnreachable(
                f"The connection to {self._link.where} was lost in the middle of the answer.",
                hint="The server keeps the answer; see `orchestrator logs -c` when it is back.",
            )
        time.sleep(RECONNECT_WAITS_S[attempt])
        path = f"/runs/{quote(self._run_id, safe='')}/stream"
        with contextlib.suppress(BackendUnreachable, BackendTimeout):
            self._response = self._link._send("GET", path, query={"from": self._offset}, stream=True)

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
