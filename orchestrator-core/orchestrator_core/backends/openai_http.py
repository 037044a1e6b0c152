"""The network side of the `openai` backend: one server, its key, and streams that can be left."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from pydantic import SecretStr
from requests.auth import AuthBase

from orchestrator_core import streamed_http
from orchestrator_core.backends.openai_wire import ProtocolError, error_for, error_text
from orchestrator_core.errors import (
    BackendTimeout,
    BackendUnreachable,
    ConfigurationError,
    OrchestratorError,
)
from orchestrator_core.event_stream import EventReader, EventTooLong
from orchestrator_core.streamed_http import StreamedRequest, pieces

log = logging.getLogger(__name__)

MAX_JSON_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

TRANSPORT_FAILURES = (*streamed_http.TRANSPORT_FAILURES, ProtocolError)


class _Key(AuthBase):
    """Sends the key, and keeps `requests` from taking another one out of a .netrc file."""

    def __init__(self, key: SecretStr | None) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        return request


class OpenAIClient:
    """One OpenAI-compatible server. The key is in no repr, log line or error.

    Args:
        url: base URL of the API; without a path, /v1 is added.
        key: sent as a bearer token, to this host only: redirects are never followed.
        connect_timeout_s: for the connection.
        read_timeout_s: for the beginning of an answer, and between two pieces of it.

    Raises:
        ConfigurationError: the URL is not one, or carries a user name or password.
    """

    def __init__(
        self, url: str, key: SecretStr | None, *, connect_timeout_s: float, read_timeout_s: float
    ) -> None:
        self.host, self.url = _checked(url)
        self.root = self.url.removesuffix("/v1")
        self._key = key
        self._timeout = (connect_timeout_s, read_timeout_s)
        if key is not None and url.startswith("http:") and self.host not in LOOPBACK:
            log.warning("The model's key travels unencrypted to %s; use https there.", self.host)

    def __repr__(self) -> str:
        return f"OpenAIClient({self.url!r})"

    def get(self, url: str, model: str = "") -> Any:
        """JSON of a GET, or the error it stands for."""
        return self._json("GET", url, None, model)

    def post(self, url: str, body: dict[str, Any], model: str = "") -> Any:
        """JSON of a POST, or the error it stands for."""
        return self._json("POST", url, body, model)

    def stream(self, route: str, body: dict[str, Any]) -> StreamingRequest:
        """Starts a request whose answer comes in events."""
        return StreamingRequest(self, f"{self.url}/{route}", body)

    def send(self, method: str, url: str, body: dict[str, Any] | None) -> requests.Response:
        """The response, whatever its status; its content is not read yet."""
        session = requests.Session()
        # Proxy settings of the environment are for other machines.
        session.trust_env = self.host not in LOOPBACK
        return session.request(
            method,
            url,
            json=body,
            auth=_Key(self._key),
            headers={"Accept-Encoding": "identity"},
            timeout=self._timeout,
            allow_redirects=False,
            stream=True,
        )

    def refusal(self, response: requests.Response, content: str, model: str) -> OrchestratorError:
        """The error that a response with a status other than 2xx, and this content, stands for."""
        text = self.redact(error_text(content))
        return error_for(response.status_code, text, response.headers, server=self.url, model=model)

    def failure(self, error: Exception) -> OrchestratorError:
        """The error that a broken connection stands for."""
        timeouts = (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)
        if isinstance(error, requests.ConnectTimeout):
            return BackendUnreachable(
                f"The server {self.url} did not accept a connection within {self._timeout[0]:g} s."
            )
        if isinstance(error, timeouts):
            return BackendTimeout(
                f"The server {self.url} was silent for {self._timeout[1]:g} s.",
                hint="If it is only slow, raise model.read_timeout_s.",
            )
        if isinstance(error, ProtocolError):
            return BackendUnreachable(
                f"The server {self.url} does not speak the OpenAI protocol: {self.redact(str(error))}."
            )
        if isinstance(error, requests.exceptions.SSLError):
            return BackendUnreachable(f"The certificate of {self.url} was not accepted.")
        return BackendUnreachable(
            f"The server {self.url} cannot be reached, or broke the connection ({type(error).__name__}).",
            hint="Is it running, and is model.url right?",
        )

    def redact(self, text: str) -> str:
        """The text without the key, should the server have repeated it."""
        key = self._key.get_secret_value() if self._key is not None else ""
        return text.replace(key, "***") if key else text

    def _json(self, method: str, url: str, body: dict[str, Any] | None, model: str) -> Any:
        try:
            with self.send(method, url, body) as response:
                if not 200 <= response.status_code < 300:
                    raise self.refusal(response, _beginning(pieces(response), MAX_ERROR_BYTES), model)
                content = _beginning(pieces(response), MAX_JSON_BYTES)
        except TRANSPORT_FAILURES as error:
            raise self.failure(error) from error
        try:
            return json.loads(content)
        except ValueError as error:
            raise self.failure(ProtocolError("the answer is not JSON")) from error


class StreamingRequest:
    """A request in progress; iterate it for the data of its events."""

    def __init__(self, client: OpenAIClient, url: str, body: dict[str, Any]) -> None:
        self._client = client
        self._model = str(body.get("model", ""))
        self._request = StreamedRequest(lambda: client.send("POST", url, body), name="openai-stream")

    def wait_answered(self, timeout: float) -> None:
        """Waits until the server has accepted the request, at most `timeout` seconds.

        Raises:
            OrchestratorError: it refused, or cannot be reached.
        """
        with self._translated():
            self._accepted(timeout)

    def __iter__(self) -> Iterator[str]:
        """Data of each event, until the stream ends or is closed.

        Raises:
            OrchestratorError: the connection broke, or the server refused or fell silent.
        """
        with self._translated():
            response = self._accepted()
            if response is None:
                return
            if "json" in response.headers.get("Content-Type", ""):
                # The server does not stream: the whole completion is one event.
                yield _beginning(self._request.chunks(), MAX_JSON_BYTES)
                return
            reader = EventReader()
            for chunk in self._request.chunks():
                for event in reader.feed(chunk):
                    if self.closed:
                        return
                    yield event.data
            yield from (event.data for event in reader.end())

    @property
    def closed(self) -> bool:
        return self._request.closed

    def close(self) -> None:
        """Leaves the stream; safe from any thread, more than once."""
        self._request.close()

    def _accepted(self, timeout: float | None = None) -> requests.Response | None:
        response = self._request.head(timeout)
        if response is not None and not 200 <= response.status_code < 300:
            content = _beginning(self._request.chunks(), MAX_ERROR_BYTES)
            raise self._client.refusal(response, content, self._model)
        return response

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except EventTooLong as error:
            raise self._client.failure(ProtocolError(str(error))) from error
        except TRANSPORT_FAILURES as error:
            raise self._client.failure(error) from error


def _beginning(chunks: Iterator[bytes], size: int) -> str:
    """Of a body, as text."""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) >= size:
            break
    return content[:size].decode("utf-8", "replace")


def _checked(url: str) -> tuple[str, str]:
    """Host and normalised URL."""
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise ConfigurationError(
            "model.url is not the address of a server.", hint="It looks like http://127.0.0.1:8080/v1."
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigurationError(
            "model.url must not carry a user name, password, query or fragment.",
            hint="Put the key into model.api_key.",
        )
    path = parts.path.rstrip("/") or "/v1"
    return host, f"{parts.scheme}://{parts.netloc}{path}"
