"""A request whose answer comes in pieces, read by a thread of its own.

Whoever waits for the next piece can be released at once from any thread, even while the server is silent; a
slow reader makes the server wait.
Not covered: a server that holds back the head of its answer goes on working, after `close`, until it
sends it; only then can the connection be closed.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

import requests
import urllib3

MAX_PIECES = 64
"""Kept for a slow reader."""

READ_BYTES = 64 * 1024

TRANSPORT_FAILURES = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""What sending a request and reading its answer raise."""


def pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it arrives, of a response that was asked for with `stream=True`.

    Raises:
        TRANSPORT_FAILURES: it broke off.
    """
    while data := response.raw.read1(READ_BYTES, decode_content=True):
        yield data


def was_never_sent(error: Exception) -> bool:
    """Whether a request that failed so cannot have reached its server: there was no connection to say it on."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError):
        return True
    reason = getattr(error.args[0] if error.args else None, "reason", None)
    return isinstance(reason, urllib3.exceptions.NewConnectionError)


def failure_words(error: Exception) -> str:
    """What went wrong, without the address, which may be nobody's business."""
    kinds = {
        "ConnectTimeout": "no connection in time",
        "ReadTimeout": "no answer in time",
        "SSLError": "its certificate is not the right one",
        "ConnectionError": "no connection",
        "ProtocolError": "the connection broke",
        "ReadTimeoutError": "no answer in time",
    }
    return kinds.get(type(error).__name__, type(error).__name__)


def is_answered(session: requests.Session, url: str, timeout_s: float) -> bool:
    """Whether one of our servers answers a GET of this URL, ready to serve or not."""
    try:
        with session.get(url, timeout=timeout_s, allow_redirects=False) as response:
            return response.status_code in (200, 503) and isinstance(response.json(), dict)
    except (*TRANSPORT_FAILURES, ValueError):
        return False


class StreamedRequest:
    """
    Args:
        send: sends the request with `stream=True` and returns its response; runs in the reading thread.
        name: of that thread.
    """

    def __init__(self, send: Callable[[], requests.Response], *, name: str) -> None:
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._response: requests.Response | None = None
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False
        threading.Thread(target=self._read, args=(send,), name=name, daemon=True).start()

    @property
    def closed(self) -> bool:
        return self._closed

    def head(self, timeout_s: float | None = None) -> requests.Response | None:
        """The response, for its status and headers; None when it did not come in time, or after `close`.

        Raises:
            Exception: what `send` raised.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._response or self._ended or self._closed, timeout_s)
            if self._closed or self._response is None:
                if self._error is not None and not self._closed:
                    raise self._error
                return None
            return self._response

    def chunks(self) -> Iterator[bytes]:
        """The body, until its end or `close`.

        Raises:
            Exception: what `send`, or reading, raised.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._ended or self._closed)
                if self._closed:
                    return
                if not self._pieces:
                    if self._error is not None:
                        raise self._error
                    return
                piece = self._pieces.popleft()
                self._changed.notify_all()
            yield piece

    def close(self) -> None:
        """Leave; idempotent, from any thread."""
        with self._changed:
            self._closed = True
            self._pieces.clear()
            self._changed.notify_all()
            response = self._response
        if response is not None:
            # Wakes the reading thread, which closes it: closing here would wait for that thread.
            with contextlib.suppress(OSError, RuntimeError, ValueError, AttributeError):
                response.raw.shutdown()

    def _read(self, send: Callable[[], requests.Response]) -> None:
        error: BaseException | None = None
        try:
            with send() as response:
                with self._changed:
                    self._response = response
                    self._changed.notify_all()
                for piece in pieces(response):
                    if not self._put(piece):
                        break
        except Exception as failure:
            # Shutting the socket from another thread surfaces as almost anything.
            error = failure
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def _put(self, piece: bytes) -> bool:
        """Wait for room; False when nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._pieces) < MAX_PIECES or self._closed)
            self._pieces.append(piece)
            self._changed.notify_all()
            return not self._closed
