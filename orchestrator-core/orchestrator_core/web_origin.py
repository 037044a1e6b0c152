"""Origins of web pages (RFC 6454), and patterns of origins that an owner allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

ANY = "*"
WEB_SCHEMES = {"http": "80", "https": "443"}
"""Schemes whose hosts anybody can own, with their default ports."""


@dataclass(frozen=True, slots=True)
class WebOrigin:
    """Scheme, host and port, in lower case; the port is "" where the scheme has no default and none is given.

    In a pattern the port may be `*`, and so may the host of a scheme that belongs to an application
    (`vscode-webview://*`): its pages have a random host each.
    """

    scheme: str
    host: str
    port: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Raises:
            ValueError: not `scheme://host[:port]`. That includes `null`, the origin of sandboxed pages and files.
        """
        given, any_port = (text[:-2], True) if text.endswith(f":{ANY}") else (text, False)
        parts = urlsplit(given.lower())
        if not parts.scheme or not parts.hostname or given != given.strip() or "@" in parts.netloc:
            raise ValueError("an origin is scheme://host or scheme://host:port")
        if parts.path or parts.query or parts.fragment:
            raise ValueError("an origin has no path")
        number = WEB_SCHEMES.get(parts.scheme, "") if parts.port is None else str(parts.port)
        return cls(parts.scheme, parts.hostname.rstrip("."), ANY if any_port else number)

    def allows(self, other: WebOrigin) -> bool:
        """Whether `other` fits this pattern."""
        return (
            self.scheme == other.scheme
            and self.host in (ANY, other.host)
            and self.port in (ANY, other.port)
            and ANY not in (other.host, other.port)
        )


def parse_pattern(text: str) -> WebOrigin:
    """What an owner may allow.

    Raises:
        ValueError: no origin, or one that would let any website in.
    """
    if text in (ANY, "null"):
        raise ValueError(
            "name each page that may call, as scheme://host[:port]: '*' would be every website, and 'null' any "
            "of them that hides its name"
        )
    pattern = WebOrigin.parse(text.removesuffix("/"))
    if ANY in pattern.host and (pattern.host != ANY or pattern.scheme in WEB_SCHEMES):
        raise ValueError(
            "'*' may stand for a port (http://localhost:*), and for the whole host of an application's own scheme "
            "(vscode-webview://*)"
        )
    return pattern
