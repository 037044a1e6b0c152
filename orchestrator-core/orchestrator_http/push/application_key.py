"""The key that push services know this server by (VAPID, RFC 8292)."""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from orchestrator_core.errors import ConfigurationError
from shared_context.storage.permissions import read_or_make

FILE_NAME = "push-key.pem"


class ApplicationKey:
    """A P-256 key, made at the first start and kept in the data folder, readable by its owner only.

    Subscriptions are made for its public half: with another key they are worth nothing.

    Raises:
        ConfigurationError: the file cannot be read or written, or holds no such key.
    """

    def __init__(self, data: Path) -> None:
        path = data / FILE_NAME
        try:
            self._pem, _ = read_or_make(path, _made)
            key = load_pem_private_key(self._pem.encode(), password=None)
        except OSError as error:
            raise _unusable(path, error.strerror or "") from error
        except (ValueError, TypeError):
            # Without its cause, which may quote the file.
            raise _unusable(path, "it holds no key") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise _unusable(path, "it holds a key of another kind")
        self._key = key

    def __repr__(self) -> str:
        return f"ApplicationKey({self.public!r})"

    @property
    def public(self) -> str:
        """The uncompressed point in base64url, as `applicationServerKey` of the Push API takes it."""
        point = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return base64.urlsafe_b64encode(point).rstrip(b"=").decode()

    @property
    def pem(self) -> bytes:
        """Secret."""
        return self._pem.encode()


def _made() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The key for push messages, {str(path)!r}, cannot be used: {why}.",
        hint="Mend the file's permissions, or delete it: devices then have to subscribe again.",
    )
