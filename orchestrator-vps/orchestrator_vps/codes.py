"""Enrolment codes: what a person reads on the VPS and types at home.

Guessing the 60 bits through HTTP is hopeless within the hour a code lives, and so is undoing the SHA-256 that is
stored of it: at 10^10 hashes a second 2^60 take three years.
"""

from __future__ import annotations

import hashlib

from orchestrator_relay.identity.typed_code import new_code, plain

__all__ = ["MAX_LIVE", "VALID_MINUTES", "digest", "new_code"]

VALID_MINUTES = 60
MAX_LIVE = 8
"""Codes that are valid at once; the oldest gives way."""


def digest(typed: str) -> bytes:
    """Of a code as typed."""
    return hashlib.sha256(plain(typed).encode("utf-8", "surrogateescape")).digest()
