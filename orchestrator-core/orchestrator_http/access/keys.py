"""Who may ask: the API key, and what happens to wrong ones.

Covered: a missing or wrong key, timing (constant-time comparison), wrong keys in the log (for programs
like fail2ban, docs/vps.md), clients that go on with one (429), a table of addresses that cannot grow.
Not covered: guessing a weak key. Households and whole providers share addresses, so a right key
passes whatever else came from its address; that it cannot be guessed is its length's work.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from orchestrator_core.errors import ConfigurationError, Forbidden, Overloaded, Unauthorized
from orchestrator_core.settings import ServerSettings
from pydantic import SecretStr
from shared_context.devices.device import SCOPES

from orchestrator_http.access.origins import is_loopback

MAX_FAILURES = 10
"""Wrong keys in a row from an address before it is told to stop."""

SHORT_KEY = 16
"""Characters below which a key that people made up can be guessed in weeks."""

WINDOW_S = 60.0
"""Seconds after which an address's failures are forgotten."""

MAX_ADDRESSES = 1024
"""Addresses remembered at once; the longest silent one is forgotten first."""

_log = logging.getLogger("orchestrator_http.keys")
# The name that filters of fail2ban look for.


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Args:
        kind: "device" (it signed), "key", "tier" (the VPS, in its own name), or "anyone" where no key is needed.
        id: of the device or the named key; "" for the others.
    """

    kind: Literal["device", "key", "tier", "anyone"]
    scopes: frozenset[str] = frozenset(SCOPES)
    id: str = ""
    name: str = ""


class FailedAttempts:
    """Counts and logs failures per address in a fixed window. Safe from any thread.

    Args:
        first: told of an address and of what was wrong, once per address and window.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        first: Callable[[str, str], None] = lambda address, what: None,
    ) -> None:
        self._clock = clock
        self._first = first
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, address: str, what: str) -> None:
        """One more from this address.

        Args:
            what: for example "API key"; after "wrong" in words for people.

        Raises:
            Overloaded: there have been too many.
        """
        _log.warning("Refused %s: wrong %s", ascii(address[:64])[1:-1], what)
        now = self._clock()
        with self._lock:
            since, count = self._failures.pop(address, (now, 0))
            if now - since >= WINDOW_S:
                since, count = now, 0
            self._failures[address] = (since, count + 1)
            while len(self._failures) > MAX_ADDRESSES:
                self._failures.popitem(last=False)
        if count == 0:
            self._first(address, what)
        if count >= MAX_FAILURES:
            raise Overloaded(
                f"Too many requests with a wrong {what} from this address.",
                retry_after_s=max(1, round(since + WINDOW_S - now)),
            )

    def __len__(self) -> int:
        return len(self._failures)


class KeyGuard:
    """Checks `Authorization: Bearer <key>`.

    Without a configured key every caller may ask, with any key or none: the server then only
    listens on loopback (`refuse_open_bind`).

    Args:
        keys: those of the settings; of one that can be guessed the log says so.
        verifiers: know further keys, those of enrolled desktops for example. Each is asked within the
            request, may raise `Forbidden` for a key that is right and used where it must not be, and
            compares in constant time.
        named: the holder of a key that was made with `orchestrator keys add`; None: it is none.
    """

    def __init__(
        self,
        keys: Sequence[SecretStr],
        attempts: FailedAttempts | None = None,
        verifiers: Sequence[Callable[[str], bool]] = (),
        named: Callable[[str], Caller | None] = lambda key: None,
    ) -> None:
        secrets = [key.get_secret_value() for key in keys]
        if any(len(secret) < SHORT_KEY for secret in secrets):
            _log.warning(
                "server.api_key has fewer than %d characters; a longer one cannot be guessed.", SHORT_KEY
            )
        self._digests = [_digest(secret) for secret in secrets]
        self._attempts = FailedAttempts() if attempts is None else attempts
        self._verifiers = tuple(verifiers)
        self._named = named
        self._warned = False

    @property
    def required(self) -> bool:
        return bool(self._digests or self._verifiers)

    def check(self, authorization: str | None, address: str, *, private: bool = True) -> Caller:
        """Whose key it is.

        Args:
            private: nobody on the way could read the key.

        Raises:
            Unauthorized: no key, or a wrong one.
            Overloaded: a wrong one, after too many from this address.
            Forbidden: a named key that others could read on its way.
        """
        caller = self._holder(authorization)
        if caller is not None:
            if not private:
                self._readable(caller)
            return caller
        if authorization is not None:
            self.failed(address, "API key")
        raise Unauthorized(
            "The API key is wrong." if authorization else "This server needs an API key.",
            hint="Send the header Authorization: Bearer <key>, with the key from server.api_key.",
        )

    def failed(self, address: str, what: str) -> None:
        """Somebody at this address was refused.

        Raises:
            Overloaded: too often.
        """
        self._attempts.add(address, what)

    def _holder(self, authorization: str | None) -> Caller | None:
        """Whose key the header carries; every key is compared, in constant time."""
        scheme, _, key = (authorization or "").partition(" ")
        key = key.strip() if scheme.lower() == "bearer" else ""
        given = _digest(key)
        matches = [hmac.compare_digest(given, digest) for digest in self._digests]
        if key and (any(matches) or any(verify(key) for verify in self._verifiers)):
            return Caller("key")
        named = self._named(key) if key else None
        return named or (None if self.required else Caller("anyone"))

    def _readable(self, caller: Caller) -> None:
        """
        Raises:
            Forbidden.
        """
        if caller.id:
            raise Forbidden(
                "This key is for loopback and TLS only: on this network everybody can read it.",
                code="readable_key",
                hint="Use https, or pair the device that asks (`orchestrator pair`): its key never travels.",
            )
        if caller.kind == "key" and not self._warned:
            self._warned = True
            _log.warning(
                "server.api_key was sent over plain HTTP: everybody on that network could read it. Paired devices "
                "(`orchestrator pair`) send no key."
            )


def authorization(header: Callable[[str], str | None]) -> str | None:
    """What a request presents, as an `Authorization` header. Anthropic's clients send the key in one of their own.

    Args:
        header: a header of the request by its name.
    """
    key = header("X-Api-Key")
    return header("Authorization") or (None if key is None else f"Bearer {key}")


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
