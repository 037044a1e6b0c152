"""`POST /sealed`: any other request to this server, and its answer, readable for nobody on the way (docs/identity.md).

The request inside is served by the same app, behind the same checks, as if it had come by itself; Host, Origin and address are
those of the request around it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from flask import Flask, Response, current_app, request
from orchestrator_core.errors import InvalidRequest
from orchestrator_relay.errors import SealBroken
from orchestrator_relay.heads import SEALED_PATH, SEALED_TYPE

from orchestrator_http.access.callers import SEALED
from orchestrator_http.api import Api
from orchestrator_http.bodies import whole_body
from orchestrator_http.routes.sync import largest_body
from orchestrator_http.services import services

if TYPE_CHECKING:
    from orchestrator_relay.identity.sealing import AnswerSealer, OpenedRequest

api = Api("sealed", answered_by="here", open=True)

_KEPT = ("HTTP_HOST", "HTTP_ORIGIN")
"""Headers of the request around it that stay: a browser writes them, the page that sealed the other does not."""

_NOT_SEALED = frozenset({"host", "origin", "content-length", "transfer-encoding", "connection"})


@api.route(
    "POST", SEALED_PATH, summary="A sealed request", media=(SEALED_TYPE,), errors=(413, 415), quiet=True
)
def sealed() -> Response:
    """The body is an HPKE message to this server's sealing key (type `application/vnd.orchestrator.sealed`). The answer is 200
    and sealed, whatever the status inside; what cannot be opened is 400 with the code `seal_broken`."""
    from orchestrator_relay.identity.sealing import OVERHEAD_BYTES, open_request

    here = services()
    request.max_content_length = largest_body(here.settings.server) + OVERHEAD_BYTES
    try:
        opened, sealer = open_request(here.household.identity, whole_body(request))
    except SealBroken as error:
        raise InvalidRequest(error.message, hint=error.hint, code=error.code) from None
    environ = _environ(opened)
    # By the path that is routed: written in the target in another way (%73ealed), it would let a stranger pile up calls.
    if environ["PATH_INFO"].rstrip("/") == SEALED_PATH:
        raise InvalidRequest("A sealed request holds no other sealed request.")
    # The app itself, not what a server put around it: that has been passed once.
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    return Response(_answered(app, environ, sealer), content_type=SEALED_TYPE)


def _answered(app: Flask, environ: dict[str, Any], sealer: AnswerSealer) -> Iterable[bytes]:
    from werkzeug.test import run_wsgi_app

    # Without a context of its own it would find in `g` who sent the request around it.
    with app.app_context():
        parts, status, headers = run_wsgi_app(lambda *call: Flask.wsgi_app(app, *call), environ)
    head = sealer.head(int(status.split(" ", 1)[0]), [(name, value) for name, value in headers])
    return _Sealed(head, parts, sealer)


class _Sealed:
    """The sealed answer; closing it closes the one inside."""

    def __init__(self, head: bytes, parts: Iterable[bytes], sealer: AnswerSealer) -> None:
        self._head, self._parts, self._sealer = head, parts, sealer

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        for part in self._parts:
            if part:
                yield self._sealer.part(part)
        yield self._sealer.end()

    def close(self) -> None:
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()


def _environ(opened: OpenedRequest) -> dict[str, Any]:
    """The environ (PEP 3333) of the request inside: of the one around it, what belongs to the connection."""
    path, _, query = opened.target.partition("?")
    around = {
        name: value
        for name, value in request.environ.items()
        if (not name.startswith(("HTTP_", "werkzeug.", "flask.")) or name in _KEPT) and name != "CONTENT_TYPE"
    }
    made: dict[str, Any] = {
        **around,
        "REQUEST_METHOD": opened.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": opened.target,
        "RAW_URI": opened.target,
        "CONTENT_LENGTH": str(len(opened.body)),
        "wsgi.input": io.BytesIO(opened.body),
        "wsgi.input_terminated": True,
        SEALED: True,
    }
    for name, value in opened.headers:
        lower = name.lower()
        if lower in _NOT_SEALED or "_" in name:
            continue
        key = "CONTENT_TYPE" if lower == "content-type" else "HTTP_" + lower.upper().replace("-", "_")
        made[key] = f"{made[key]}, {value}" if key in made and key != "CONTENT_TYPE" else value
    return made
