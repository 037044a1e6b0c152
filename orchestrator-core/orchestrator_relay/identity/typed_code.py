"""Codes that a person reads on one machine and types on another.

Twelve characters of Crockford's base 32 are 60 random bits (crockford.com/base32.html).
"""

from __future__ import annotations

import secrets

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Without I, L, O and U, which are misread."""

LENGTH = 12
GROUP = 4

_MISREAD = str.maketrans("OIL", "011")


def new_code() -> str:
    """For example `K7QF-M2XD-9HTP`."""
    letters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return "-".join(letters[place : place + GROUP] for place in range(0, LENGTH, GROUP))


def plain(typed: str) -> str:
    """A code as typed, without what does not matter: case, spaces, dashes and misread letters."""
    return "".join(character for character in typed.upper() if character.isalnum()).translate(_MISREAD)


def is_code(typed: str) -> bool:
    """Whether this may be one."""
    letters = plain(typed)
    return len(letters) == LENGTH and all(letter in ALPHABET for letter in letters)
