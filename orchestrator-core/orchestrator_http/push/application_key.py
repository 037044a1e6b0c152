"""The key that push services know this server by (VAPID, RFC 8292)."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_core.errors import ConfigurationError
from orchestrator_relay.identity.machine import base64url
from shared_context.storage.permissions import read_or_make

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

FILE_NAME = "push-key.pem"


class ApplicationKey:
    """A P-256 key, made when it is first used and kept in the data folder, readable by its owner only.

    Subscriptions are made for its public half: with another key they are worth nothing.

    Raises (from its properties):
        ConfigurationError: the file cannot be read or written, or holds no such key.
    """

    def __init__(self, data: Path) -> None:
        self._path = data / FILE_NAME

    @cached_property
    def _loaded(self) -> tuple[str, EllipticCurvePrivateKey]:
        # Imported where it is used: it takes several megabytes, and many servers never send a message.
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        path = self._path
        try:
            pem, _ = read_or_make(path, _made)
            key = load_pem_private_key(pem.encode(), password=None)
        except OSError as error:
            raise _unusable(path, error.strerror or "") from error
        except (ValueError, TypeError):
            # Without its cause, which may quote the file.
            raise _unusable(path, "it holds no key") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise _unusable(path, "it holds a key of another kind")
        return pem, key

    def __repr__(self) -> str:
        return f"ApplicationKey({self._path.name!r})"

    @property
    def public(self) -> str:
        """The uncompressed point in base64url, as `applicationServerKey` of the Push API takes it."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        point = self._loaded[1].public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return base64url(point)

    @property
    def pem(self) -> bytes:
        """Secret."""
        return self._loaded[0].encode()


def _made() -> str:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _unusable(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"The key for push messages, {str(path)!r}, cannot be used: {why}.",
        hint="Mend the file's permissions, or delete it: devices then have to subscribe again.",
    )
