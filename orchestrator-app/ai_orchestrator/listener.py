"""The socket side of the server: waitress on addresses that were bound beforehand."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Sequence
from typing import Any

from orchestrator_http.binding import BACKLOG
from orchestrator_http.problems import Problem
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer, create_server
from waitress.task import ErrorTask
from waitress.trigger import trigger
from waitress.wasyncore import close_all

MAX_CONNECTIONS = 512
"""Open sockets, most of them idle: browsers and phones keep several each."""
MAX_HEADER_BYTES = 64 * 1024
MAX_UNSENT_BYTES = 1024 * 1024
"""Of one slow client; more and its answer waits."""
SHUTDOWN_S = 5.0
KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""A client that vanished without closing (power cut, suspended) is noticed after a minute."""

_log = logging.getLogger(__name__)


class Listener:
    """Serves an app on bound sockets until closed.

    Args:
        app: a WSGI app.
        threads: requests served at once, streams among them.
    """

    def __init__(self, app: Any, sockets: Sequence[socket.socket], *, threads: int, max_body_bytes: int):
        self._map: dict[int, Any] = {}
        self._server = create_server(
            app,
            map=self._map,
            sockets=list(sockets),
            threads=threads,
            max_request_body_size=max_body_bytes,
            max_request_header_size=MAX_HEADER_BYTES,
            outbuf_high_watermark=MAX_UNSENT_BYTES,
            connection_limit=MAX_CONNECTIONS,
            backlog=BACKLOG,
            asyncore_use_poll=True,
            # One more request is read ahead: only so does waitress notice that a client left.
            channel_request_lookahead=1,
            ident=None,
        )
        for dispatcher in list(self._map.values()):
            if isinstance(dispatcher, TcpWSGIServer):
                dispatcher.channel_class = _Channel
        self._thread = threading.Thread(target=self._server.run, name="listener", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Wait a few seconds for requests that are being served, then close every socket."""
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=SHUTDOWN_S)
        for dispatcher in list(self._map.values()):
            if isinstance(dispatcher, trigger):
                dispatcher.pull_trigger(lambda: close_all(self._map))
                break
        self._thread.join(SHUTDOWN_S)


class _JsonErrorTask(ErrorTask):  # type: ignore[misc]
    """What waitress itself refuses, in the shape of every other error."""

    def execute(self) -> None:
        error = self.request.error
        codes = {413: "payload_too_large", 431: "headers_too_large", 501: "not_implemented"}
        problem = Problem(
            error.code,
            "invalid_request_error",
            codes.get(error.code, "invalid_request"),
            f"{error.reason}: {error.body}",
        )
        body = json.dumps(problem.body()).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]
    error_task_class = _JsonErrorTask

    def __init__(self, server: Any, sock: socket.socket, addr: Any, adj: Adjustments, map: Any = None):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE:
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        super().__init__(server, sock, addr, adj, map=map)
