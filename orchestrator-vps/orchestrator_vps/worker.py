"""gunicorn's threaded worker, made to stop without losing anything and to refuse in JSON."""

from __future__ import annotations

import contextlib
import json
import signal
from http import HTTPStatus
from types import FrameType
from typing import Any

from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker
from orchestrator_http.problems import Problem

_STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (errors.LimitRequestLine, HTTPStatus.REQUEST_URI_TOO_LONG),
    (errors.LimitRequestHeaders, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE),
    (errors.ExpectationFailed, HTTPStatus.EXPECTATION_FAILED),
    (errors.UnsupportedTransferCoding, HTTPStatus.NOT_IMPLEMENTED),
    (errors.ParseException, HTTPStatus.BAD_REQUEST),
)


class VpsWorker(ThreadWorker):  # type: ignore[misc]
    """`app` is a `Gateway`, which is told of the beginning and the end."""

    def init_signals(self) -> None:
        super().init_signals()
        # Ctrl-C reaches every process of the terminal; the master says what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.app.leave()

    def set_accept_enabled(self, enabled: bool) -> None:
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            # Who comes now is refused at once, instead of waiting for an answer that nobody gives.
            for listener in self.sockets:
                listener.close()

    def run(self) -> None:
        try:
            super().run()
        finally:
            self.app.left()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """What gunicorn itself refuses, in the shape of every other error."""
        status = next((code for kind, code in _STATUSES if isinstance(exc, kind)), None)
        if status is None:
            super().handle_error(req, client, addr, exc)
            return
        problem = Problem(
            int(status), "invalid_request_error", "invalid_request", f"{exc}"[:300] or "Unreadable."
        )
        body = json.dumps(problem.body()).encode()
        phrase = HTTPStatus(status).phrase
        head = (
            f"HTTP/1.1 {int(status)} {phrase}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        with contextlib.suppress(OSError):
            client.sendall(head.encode() + body)
