"""Answers for pages of other origins that the owner allows: the CORS headers of the Fetch standard.

Cookies and the browser's own credentials are never allowed: such a page sends the API key itself. A request
of a public page to a private address is announced by a preflight of its own (Private Network Access).
"""

from __future__ import annotations

import re
from collections.abc import Callable

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
RequestHeader = Callable[[str], str | None]
"""A header of the request by its name; None where it is absent."""

MAX_AGE_S = 600
"""How long a browser may keep the answer to a preflight."""

_HEADER_NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{0,2000}")


def is_preflight(method: str, header: RequestHeader) -> bool:
    return method == "OPTIONS" and header("Access-Control-Request-Method") is not None


def answer_headers(origin: str) -> dict[str, str]:
    """Of every answer to an allowed page, refusals and streams too, so that it can read why."""
    return {"Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": "*"}


def preflight_headers(header: RequestHeader) -> dict[str, str]:
    """Of the answer to a preflight, besides `answer_headers`. Which headers clients send is their libraries' business
    (`x-stainless-*`, `anthropic-version`), so all that are asked for are allowed."""
    allowed = {"Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": str(MAX_AGE_S)}
    asked = header("Access-Control-Request-Headers") or ""
    if asked and _HEADER_NAMES.fullmatch(asked):
        allowed["Access-Control-Allow-Headers"] = asked
    if header("Access-Control-Request-Private-Network") == "true":
        allowed["Access-Control-Allow-Private-Network"] = "true"
    return allowed
