"""Who may ask: the API key and the limit on wrong ones.

Covered: a missing or wrong key, guessing (a bounded number of failures per address and
minute), timing (constant-time comparison), a table of addresses that cannot grow.
Not covered: which tier a device may use, and pairing; both come with devices.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from orchestrator_core.errors import ConfigurationError, Overloaded, Unauthorized
from orchestrator_core.settings import ServerSettings
from pydantic import SecretStr

from orchestrator_http.origins import is_loopback

MAX_FAILURES = 10
"""Wrong keys an address may send before it has to wait."""

WINDOW_S = 60.0
"""Seconds after which an address's failures are forgotten."""

MAX_ADDRESSES = 1024
"""Addresses remembered at once; the longest silent one is forgotten first."""


class FailedAttempts:
    """Counts failures per address in a fixed window. Safe from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def seconds_blocked(self, address: str) -> float:
        """How long this address still has to wait; 0 when it may try."""
        with self._lock:
            since, count = self._failures.get(address, (0.0, 0))
            left = since + WINDOW_S - self._clock()
            return left if count >= MAX_FAILURES and left > 0 else 0.0

    def add(self, address: str) -> None:
        now = self._clock()
        with self._lock:
            since, count = self._failures.pop(address, (now, 0))
            if now - since >= WINDOW_S:
                since, count = now, 0
            self._failures[address] = (since, count + 1)
            while len(self._failures) > MAX_ADDRESSES:
                self._failures.popitem(last=False)

    def __len__(self) -> int:
        return len(self._failures)


class KeyGuard:
    """Checks `Authorization: Bearer <key>`.

    Without a configured key every caller may ask, with any key or none: the server then only
    listens on loopback (`refuse_open_bind`). An address that failed too often is refused
    before its key is looked at, so guessing cannot go on behind the refusals; a right key
    from that address has to wait as well.

    Args:
        verifiers: know further keys, those of enrolled desktops for example. Each is asked within the
            request, may raise `Forbidden` for a key that is right and used where it must not be, and
            compares in constant time.
    """

    def __init__(
        self,
        keys: Sequence[SecretStr],
        attempts: FailedAttempts | None = None,
        verifiers: Sequence[Callable[[str], bool]] = (),
    ) -> None:
        self._digests = [_digest(key.get_secret_value()) for key in keys]
        self._attempts = FailedAttempts() if attempts is None else attempts
        self._verifiers = tuple(verifiers)

    @property
    def required(self) -> bool:
        return bool(self._digests or self._verifiers)

    def check(self, authorization: str | None, address: str) -> None:
        """
        Raises:
            Unauthorized: no key, or a wrong one.
            Overloaded: too many failures from this address.
        """
        if not self.required:
            return
        blocked_s = self._attempts.seconds_blocked(address)
        if blocked_s:
            raise Overloaded(
                "Too many requests with a wrong API key from this address.",
                retry_after_s=max(1, round(blocked_s)),
            )
        if self.accepts(authorization):
            return
        if authorization is not None:
            self._attempts.add(address)
        raise Unauthorized(
            "The API key is wrong." if authorization else "This server needs an API key.",
            hint="Send the header Authorization: Bearer <key>, with the key from server.api_key.",
        )

    def accepts(self, authorization: str | None) -> bool:
        """Whether the header carries a valid key; every key is compared, in constant time."""
        if not self.required:
            return True
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip()
        given = _digest(key)
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        if scheme.lower() != "bearer":
            return False
        return any(matches) or any(verify(key) for verify in self._verifiers if key)


def refuse_open_bind(server: ServerSettings) -> None:
    """
    Raises:
        ConfigurationError: others could reach the server, and no key protects it.
    """
    if server.api_key is not None and not server.api_key.get_secret_value().strip():
        raise ConfigurationError(
            "The setting server.api_key is empty.", hint="Give it a long random value, or remove it."
        )
    if server.api_key is None and not is_loopback(server.host):
        raise ConfigurationError(
            f"Refusing to listen on {server.host!r} without an API key: "
            "everyone in reach of this machine could read and use it.",
            hint="Set ORCHESTRATOR_API_KEY (or server.api_key) to a long random value, "
            "for example from: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'; "
            "or bind to 127.0.0.1.",
        )


def _digest(key: str) -> bytes:
    """A hash has one length, so comparing tells nothing of the key's length."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
