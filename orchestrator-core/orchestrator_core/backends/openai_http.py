"""The network side of the `openai` backend: one server, its key, and streams that can be left.

A stream is read by its own thread into a bounded mailbox, so that whoever waits for the next
token can be released at once from any thread, even while the server is silent.
Not covered: a server that holds back its response headers goes on working, after a cancel,
until it sends them; only then can the connection be closed.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from pydantic import SecretStr
from requests.auth import AuthBase

from orchestrator_core.backends.openai_wire import ProtocolError, SseParser, error_for, error_text
from orchestrator_core.errors import (
    BackendTimeout,
    BackendUnreachable,
    ConfigurationError,
    OrchestratorError,
)

log = logging.getLogger(__name__)

MAILBOX_EVENTS = 256
MAX_JSON_BYTES = 64 * 1024 * 1024
MAX_ERROR_BYTES = 64 * 1024
READ_BYTES = 64 * 1024
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

TRANSPORT_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ProtocolError)


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

    def refusal(self, response: requests.Response, model: str) -> OrchestratorError:
        """The error that a response with a status other than 2xx stands for."""
        body = response.raw.read(MAX_ERROR_BYTES).decode("utf-8", "replace")
        text = self.redact(error_text(body))
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
                    raise self.refusal(response, model)
                content = response.raw.read(MAX_JSON_BYTES)
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
        self._changed = threading.Condition()
        self._items: deque[str] = deque()
        self._answered = False
        self._ended = False
        self._closed = False
        self._error: OrchestratorError | None = None
        self._response: requests.Response | None = None
        thread = threading.Thread(target=self._read, args=(url, body), name="openai-stream", daemon=True)
        thread.start()

    def wait_answered(self, timeout: float) -> None:
        """Waits until the server has accepted the request, at most `timeout` seconds.

        Raises:
            OrchestratorError: it refused, or cannot be reached.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._answered or self._ended or self._closed, timeout)
            if self._error is not None and not self._answered:
                raise self._error

    def __iter__(self) -> Iterator[str]:
        """Data of each event, until the stream ends or is closed.

        Raises:
            OrchestratorError: the connection broke, or the server refused or fell silent.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended or self._closed)
                if self._closed:
                    return
                if not self._items:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        """Leaves the stream; safe from any thread, more than once."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()
            response = self._response
        if response is not None:
            _hang_up(response)

    def _read(self, url: str, body: dict[str, Any]) -> None:
        error: OrchestratorError | None = None
        try:
            self._read_response(self._client.send("POST", url, body), str(body.get("model", "")))
        except OrchestratorError as refusal:
            error = refusal
        except TRANSPORT_FAILURES as failure:
            error = self._client.failure(failure)
        except Exception:
            # Closing from another thread can surface as almost anything inside the HTTP library.
            if not self._closed:
                log.exception("Reading the stream of %s failed.", self._client.url)
            error = BackendUnreachable(f"Reading the answer of {self._client.url} failed.")
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def _read_response(self, response: requests.Response, model: str) -> None:
        with response:
            if not 200 <= response.status_code < 300:
                raise self._client.refusal(response, model)
            with self._changed:
                self._response, self._answered = response, True
                self._changed.notify_all()
            if "json" in response.headers.get("Content-Type", ""):
                # The server does not stream: the whole completion is one event.
                self._put([response.raw.read(MAX_JSON_BYTES).decode("utf-8", "replace")])
                return
            parser = SseParser()
            while data := response.raw.read1(READ_BYTES):
                if not self._put(parser.feed(data)):
                    return
            self._put(parser.end())

    def _put(self, events: list[str]) -> bool:
        """Waits for room; False when nobody wants them any more."""
        for event in events:
            with self._changed:
                self._changed.wait_for(lambda: len(self._items) < MAILBOX_EVENTS or self._closed)
                if self._closed:
                    return False
                self._items.append(event)
                self._changed.notify_all()
        return not self._closed


def _hang_up(response: requests.Response) -> None:
    """Wakes the thread that reads this response; that thread closes it."""
    try:
        response.raw.shutdown()
    except (OSError, RuntimeError, ValueError, AttributeError):
        return  # it has ended already


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
