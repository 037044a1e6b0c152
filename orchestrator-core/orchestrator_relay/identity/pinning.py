"""Trust in exactly one certificate, for a server that has made its own.

Covered: who answers must have the private key of the certificate that was compared when this machine
was enrolled; no authority, and no other name, is believed instead.
Not covered: the comparison itself, which a person or `--fingerprint` has to make once.
"""

from __future__ import annotations

import hashlib
import ssl
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from orchestrator_relay.errors import InvalidFingerprint


def certificate_of(host: str, port: int, timeout_s: float = 10.0) -> str:
    """The certificate (PEM) that a server shows; nothing is known of it yet.

    Raises:
        OSError: no connection, or no TLS there.
    """
    return ssl.get_server_certificate((host, port), timeout=timeout_s)


def fingerprint(certificate: str) -> str:
    """SHA-256 of a PEM certificate as people compare it: `AB:CD:…`.

    Raises:
        ValueError: it is none.
    """
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def same_fingerprint(certificate: str, given: str) -> bool:
    """Whether `given` is this certificate's, in any usual spelling (case, colons, `sha256:`,
    `SHA256 Fingerprint=`).

    Raises:
        InvalidFingerprint: it is no SHA-256 fingerprint at all.
    """
    text = given.lower().rpartition("=")[2].removeprefix("sha256:").replace(":", "").replace(" ", "")
    if len(text) != 64 or set(text) - set("0123456789abcdef"):
        raise InvalidFingerprint(
            f"{given[:100]!r} is no SHA-256 fingerprint.",
            hint="It has 64 hexadecimal digits; deploy_vps.sh prints it on the VPS.",
        )
    return text == fingerprint(certificate).lower().replace(":", "")


def context_for(certificate: str | None) -> ssl.SSLContext:
    """For a TLS client: trusts this certificate alone, or, with None, what the system trusts.

    Raises:
        ssl.SSLError, ValueError: it is no certificate.
    """
    if certificate is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Whoever holds the key of this certificate is meant, whatever name he is reached by.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=certificate)
    return context


class PinnedAdapter(HTTPAdapter):
    """For `requests`: https to this one certificate.

    session.mount("https://", PinnedAdapter(pem))
    """

    def __init__(self, certificate: str, **options: Any) -> None:
        self._certificate = certificate
        super().__init__(**options)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        options["ssl_context"] = context_for(self._certificate)
        options["assert_hostname"] = False
        options["assert_fingerprint"] = fingerprint(self._certificate)
        super().init_poolmanager(*arguments, **options)

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Without what requests would put in the place of the context above."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Nothing: the context knows whom to trust, and requests would add its own list."""


def session_for(certificate: str | None, key: str | None = None) -> requests.Session:
    """A session that trusts as `context_for` does and reads nothing of the surroundings: a proxy
    would see the key, and a .netrc entry would replace it.

    Args:
        key: sent as `Authorization: Bearer <key>`.
    """
    session = requests.Session()
    session.trust_env = False
    if certificate is not None:
        session.mount("https://", PinnedAdapter(certificate))
    if key:
        session.headers["Authorization"] = f"Bearer {key}"
    return session
