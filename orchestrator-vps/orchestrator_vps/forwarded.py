"""What of a request, and of its answer, travels between client and desktop. Pure: headers in, headers out.

RFC 9110 §7.6.1 names the headers that belong to one hop. The key of this server is never passed
on: the desktop trusts the connection, not the client.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("proxy-authenticate", "proxy-authorization", "proxy-authentication-info"),
    }
)
_NOT_ASKED = HOP_BY_HOP | {
    "host",
    "authorization",
    "x-api-key",
    "content-length",
    "expect",
    "origin",
    "x-tier",
}
"""Of a request. The Origin has been checked against the name of this server; the desktop has another."""

_ANSWERED = frozenset(
    {
        *("content-type", "content-encoding", "content-language", "content-range", "content-disposition"),
        *("accept-ranges", "etag", "last-modified", "cache-control", "vary", "allow", "retry-after"),
        *("x-run-id", "x-model", "x-cache", "x-accel-buffering"),
    }
)
"""Of an answer: what describes its body. Cookies, redirects and what pages may do are this server's to say, for
browsers take all that comes from its name as its own."""

_PROXIES = re.compile(r"forwarded|via|x-forwarded-.*|x-real-ip")
_HARMLESS = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))


def request_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Those that travel, names in lower case; repeated ones joined as RFC 9110 §5.3 allows."""
    fields = [(name.lower(), value) for name, value in headers]
    dropped = _NOT_ASKED | _named_by_connection(fields)
    passed: dict[str, str] = {}
    for name, value in fields:
        if name in dropped or _PROXIES.fullmatch(name) or not _HARMLESS.fullmatch(value):
            continue
        passed[name] = f"{passed[name]}, {value}" if name in passed else value
    return passed


def response_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those that reach the client."""
    fields = list(headers)
    kept = _ANSWERED - _named_by_connection((name.lower(), value) for name, value in fields)
    return [(name, value) for name, value in fields if name.lower() in kept]


def target(environ: Mapping[str, object], path: str, query: str) -> str:
    """The path with its query, as the client wrote it, where the server kept that."""
    raw = environ.get("RAW_URI")
    if not isinstance(raw, str) or not raw.startswith("/"):
        raw = quote(path, safe="/:@!$&'()*+,;=~") + (f"?{query}" if query else "")
    return quote(raw.partition("#")[0].encode("latin-1", "replace"), safe=_VISIBLE)


def in_a_header(text: str) -> str:
    """Words for people as a header's value."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)[:300]


def _named_by_connection(fields: Iterable[tuple[str, str]]) -> set[str]:
    values = [value for name, value in fields if name == "connection"]
    return {part.strip().lower() for value in values for part in value.split(",")}
