"""Enrolment codes: what a person reads on the VPS and types at home.

Twelve characters of Crockford's base 32 are 60 random bits. Guessing through HTTP is hopeless within the
hour a code lives, and so is undoing the SHA-256 that is stored of it: at 10^10 hashes a second
2^60 take three years.
"""

from __future__ import annotations

import hashlib
import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O and U, which are misread (crockford.com/base32.html)."""

LENGTH = 12
GROUP = 4
VALID_MINUTES = 60
MAX_LIVE = 8
"""Codes that are valid at once; the oldest gives way."""

_MISREAD = str.maketrans("OIL", "011")


def new_code() -> str:
    """For example `K7QF-M2XD-9HTP`."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return "-".join(letters[place : place + GROUP] for place in range(0, LENGTH, GROUP))


def digest(typed: str) -> bytes:
    """Of a code as typed: case, spaces, dashes and misread letters do not matter."""
    plain = "".join(character for character in typed.upper() if character.isalnum())
    return hashlib.sha256(plain.translate(_MISREAD).encode("utf-8", "surrogateescape")).digest()
