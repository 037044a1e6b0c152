"""One message to one push service.

The packages that encrypt and sign are imported with the first message: a server that sends none stays small.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import math
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

from orchestrator_core.errors import InvalidRequest, MissingExtra
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from orchestrator_http.push.addresses import Endpoint, Resolve, resolve
from orchestrator_http.push.application_key import ApplicationKey

MAX_PLAIN_BYTES = 3993
"""RFC 8291, 4: what always fits a push service's limit of 4096 bytes."""

WHOLE_S = 15.0
"""From connecting to the status line, however slowly a service answers."""

TOKEN_S = 12 * 3600
"""RFC 8292, 2: at most a day."""

GONE = (404, 410)
PASSING = (408, 425, 429)
"""Besides all 5xx."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    Args:
        what: `delivered`, `gone` (the subscription), `refused` (this message, for good) or `later`.
        problem: in a few words, for the owner.
        retry_after_s: as the service said.
    """

    what: Literal["delivered", "gone", "refused", "later"]
    problem: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Keys:
    """Of a subscription, in base64url: its public key and its secret."""

    p256dh: str
    auth: str


class WebPushSender:
    """
    Args:
        contact: how a push service can reach whoever runs this server; `mailto:` or `https:`.
        local_services: origins that may be private, and without TLS.
    """

    def __init__(
        self,
        key: ApplicationKey,
        *,
        contact: str,
        local_services: list[str],
        resolve: Resolve = resolve,
        whole_s: float = WHOLE_S,
    ) -> None:
        self._key = key
        self._contact = contact
        self._local_services = local_services
        self._resolve = resolve
        self._whole_s = whole_s

    @property
    def public_key(self) -> str:
        """Of the key that services know this server by."""
        return self._key.public

    def send(
        self, endpoint: str, keys: Keys, message: dict[str, Any], *, topic: str, ttl_s: int, urgency: str
    ) -> Outcome:
        """
        Args:
            topic: an undelivered message of the same topic is replaced; 32 characters of base64url at most.
        """
        try:
            where = Endpoint.parse(endpoint, self._local_services)
            body = encrypted(keys, packed(message))
            headers = {
                "TTL": str(ttl_s),
                "Topic": topic,
                "Urgency": urgency,
                "Content-Encoding": "aes128gcm",
                "Content-Type": "application/octet-stream",
                "Authorization": self._authorization(where.audience),
            }
        except InvalidRequest as error:
            return Outcome("gone", error.message)
        except MissingExtra as error:
            return Outcome("later", error.message, retry_after_s=3600)
        try:
            addresses = where.addresses(self._resolve)
        except OSError:
            return Outcome("later", "its name cannot be resolved")
        if not addresses:
            return Outcome("later", "its name stands for a private address", retry_after_s=3600)
        return self._post(where, addresses[0], body, headers)

    def _post(self, where: Endpoint, address: str, body: bytes, headers: dict[str, str]) -> Outcome:
        connection = _connection(where, address, self._whole_s)
        cut = threading.Timer(self._whole_s, _cut, (connection,))
        cut.daemon = True
        cut.start()
        try:
            connection.connect()
            connection.request(
                "POST",
                where.target,
                body=body,
                headers={"Host": where.audience.partition("//")[2], **headers},
                preload_content=False,
            )
            response = connection.getresponse()
            return outcome_of(response.status, response.headers.get("Retry-After"), time.time())
        except (OSError, HTTPError, http.client.HTTPException, ValueError) as error:
            return Outcome("later", f"no answer ({type(error).__name__})")
        finally:
            cut.cancel()
            connection.close()

    def _authorization(self, audience: str) -> str:
        try:
            from py_vapid import Vapid02
        except ImportError:
            raise MissingExtra("pywebpush", "vps", "Sending push messages") from None
        vapid = Vapid02.from_pem(self._key.pem)
        claims = {"aud": audience, "exp": int(time.time()) + TOKEN_S, "sub": self._contact}
        return str(vapid.sign(claims)["Authorization"])


def encrypted(keys: Keys, plain: bytes) -> bytes:
    """RFC 8291.

    Raises:
        InvalidRequest: these keys are none.
        MissingExtra.
    """
    try:
        from pywebpush import WebPusher, WebPushException
    except ImportError:
        raise MissingExtra("pywebpush", "vps", "Sending push messages") from None
    subscription = {"endpoint": "", "keys": {"p256dh": keys.p256dh, "auth": keys.auth}}
    try:
        return bytes(WebPusher(subscription).encode(plain)["body"])
    except (WebPushException, ValueError):
        raise InvalidRequest("The keys of the subscription cannot be used.", param="keys") from None


def packed(message: dict[str, Any]) -> bytes:
    """As JSON. A `text` is shortened, by whole words where there are any, until all fits."""
    content = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
    while len(content) > MAX_PLAIN_BYTES and message.get("text"):
        text = str(message["text"])
        shorter = text[: len(text) * 2 // 3]
        message = {
            **message,
            "text": (shorter.rpartition(" ")[0] or shorter) + "…" if len(shorter) > 1 else "",
        }
        content = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
    return content


def outcome_of(status: int, retry_after: str | None, now: float) -> Outcome:
    """What a push service's answer means."""
    if 200 <= status < 300:
        return Outcome("delivered")
    reason = f"the service answered {status}"
    if status in GONE:
        return Outcome("gone", reason)
    if status >= 500 or status in PASSING:
        return Outcome("later", reason, retry_after_s=_seconds(retry_after, now))
    return Outcome("refused", reason)


def _seconds(retry_after: str | None, now: float) -> float:
    """Of a Retry-After header (RFC 9110, 10.2.3): a number or a date; 0 for anything else."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, moment - now) if math.isfinite(moment) else 0.0


def _connection(where: Endpoint, address: str, timeout_s: float) -> HTTPConnection:
    if where.origin.scheme == "http":
        return HTTPConnection(address, where.port, timeout=timeout_s)
    # Imported where it is used: it brings an HTTP client along, which few servers need.
    from orchestrator_relay.identity.pinning import context_for

    host = where.origin.host
    return HTTPSConnection(
        address,
        where.port,
        timeout=timeout_s,
        ssl_context=context_for(None),
        server_hostname=host,
        assert_hostname=host,
    )


def _cut(connection: HTTPConnection) -> None:
    """Ends a connection whose other side says one byte at a time."""
    held = connection.sock
    if held is not None:
        with suppress(OSError):
            held.shutdown(socket.SHUT_RDWR)
