"""The chat page at `/`, the page of a pairing and their files under `/static/`, served without a key.

The pages hold nothing private: they ask for the key themselves and send it with each call. Their
Content-Security-Policy allows nothing but this server's own files.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path

from flask import Response, send_from_directory

from orchestrator_http.api import Api
from orchestrator_http.schemas.common import Parameters

FOLDER = Path(__file__).parent / "pages"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

# What the system's tables say of these differs between systems, and a browser does not run a
# script of another type.
for _suffix, _type in ((".js", "text/javascript"), (".css", "text/css"), (".svg", "image/svg+xml")):
    mimetypes.add_type(_type, _suffix)


class FileName(Parameters):
    name: str


def pages_api(folder: Path = FOLDER) -> Api:
    """The page's routes. Browsers keep the files and ask by ETag whether they changed."""
    api = Api("pages", documented=False, open=True, answered_by="here")

    @api.route("GET", "/", summary="The chat page")
    def chat() -> Response:
        return _file(folder, "chat.html")

    @api.route("GET", "/pair", summary="The page of a pairing")
    def pair() -> Response:
        return _file(folder, "pair.html")

    @api.route("GET", "/static/<path:name>", summary="Its files")
    def static(path: FileName) -> Response:
        return _file(folder / "static", path.name)

    return api


def _file(folder: Path, name: str) -> Response:
    response = send_from_directory(folder, name, conditional=True, etag=True)
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Cache-Control"] = "no-cache"
    return response
