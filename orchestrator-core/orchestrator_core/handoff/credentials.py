"""Keeps passwords and keys out of what is written into documents. Pure.

Covered: keys with a known beginning, `password = …` and its like in several languages, private
keys, tokens in addresses, long random strings. Not covered: a password named by no such word.
"""

from __future__ import annotations

import re

_WORDS = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|api[_ -]?key|access[_ -]?key|credentials?|pin|"
    r"passwort|kennwort|schlüssel|mot de passe|contraseña|clave|senha|wachtwoord|密码|パスワード)"
)
_KNOWN = re.compile(
    r"\b(?:sk|pk|rk)-[\w-]{16,}|\bhf_\w{16,}|\bgh[pousr]_\w{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\bxox[abposr]-[\w-]{10,}|\bAKIA[0-9A-Z]{12,}|\bAIza[\w-]{20,}|(?<![\w-])eyJ[\w-]{10,}\.[\w-]{5,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\bbearer\s+[\w.~+/-]{12,}|://[^/\s:@]+:[^/\s@]+@",
    re.IGNORECASE,
)
_GIVEN = re.compile(
    rf"{_WORDS}[\w-]{{0,30}}[\"'`]?\s{{0,3}}(?:[:=]|\bis\b|\bist\b|\blautet\b|\best\b|\bes\b|\bis:)\s{{0,3}}[\"'`]?"
    r"(?=\S{0,40}[\d!#$%&*])\S{4}|" + _WORDS + r"[\w-]{0,30}\s{0,3}=\s{0,3}[\"'`]?\S{4}",
    re.IGNORECASE,
)
_RANDOM = re.compile(
    r"(?<![\w/.+-])(?=[\w+/-]*[a-z])(?=[\w+/-]*[A-Z])(?=[\w+/-]*\d)[A-Za-z0-9+_-]{28,}={0,2}"
)


def holds_credential(text: str) -> bool:
    """Whether the text looks as if it held something secret."""
    return bool(_KNOWN.search(text) or _GIVEN.search(text) or _RANDOM.search(text))
