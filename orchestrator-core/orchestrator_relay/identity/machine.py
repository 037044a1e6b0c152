"""Who a machine is: one key to sign with (Ed25519) and one to be sealed to (X25519), kept in one file.

An id is the fingerprint of the signing key, so it cannot lie. The household's id is the desktop's.

`cryptography` is loaded when a key is used, not before: a server that nobody signs to does without its memory.

Covered: two processes that start at once, a file that others can read or that is damaged, secrets in `repr`
and pickles (there are none).
Not covered: a thief of the file. Revoke the id it belongs to (docs/identity.md).
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

from orchestrator_relay.errors import IdentityUnusable, InvalidIdentity

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

FILE = "identity.json"
KEY_BYTES = 32
ID_CHARS = 32
"""160 bits of the fingerprint, in an alphabet without digits that look like letters."""


@dataclass(frozen=True)
class PublicIdentity:
    """What everybody may know of a machine.

    Args:
        signing: its Ed25519 public key, 32 bytes.
        sealing: its X25519 public key, 32 bytes.

    Raises:
        InvalidIdentity: these are no such keys.
    """

    signing: bytes
    sealing: bytes

    def __post_init__(self) -> None:
        if len(self.signing) != KEY_BYTES or len(self.sealing) != KEY_BYTES:
            raise InvalidIdentity(f"A public key has {KEY_BYTES} bytes.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The identity that `text()` wrote.

        Raises:
            InvalidIdentity: it is none; the text is not repeated.
        """
        try:
            keys = from_base64url(text)
        except ValueError:
            keys = b""
        if len(keys) != 2 * KEY_BYTES:
            raise InvalidIdentity(
                "This is no public identity: it has 86 characters of base64url.",
                hint="Copy it whole, from the QR code or from the command that printed it.",
            )
        return cls(keys[:KEY_BYTES], keys[KEY_BYTES:])

    def text(self) -> str:
        """Both keys, signing first, as 86 characters of base64url (RFC 4648 §5, without padding)."""
        return base64url(self.signing + self.sealing)

    @cached_property
    def id(self) -> str:
        """32 characters of base32 in lower case: the first 160 bits of SHA-256 of the signing key."""
        digest = hashlib.sha256(self.signing).digest()
        return base64.b32encode(digest)[:ID_CHARS].decode("ascii").lower()

    @cached_property
    def signing_key(self) -> Ed25519PublicKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(self.signing)

    @cached_property
    def sealing_key(self) -> X25519PublicKey:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

        return X25519PublicKey.from_public_bytes(self.sealing)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the holder of the signing key signed these bytes (RFC 8032)."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.signing_key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Identity:
    """A machine's own keys. `repr` shows the id; copies and pickles are refused."""

    def __init__(self, signing: bytes, sealing: bytes) -> None:
        """
        Args:
            signing, sealing: 32 random bytes each, which is what a private key is (RFC 8032 §5.1.5, RFC 7748 §5).
        """
        if len(signing) != KEY_BYTES or len(sealing) != KEY_BYTES:
            raise InvalidIdentity(f"A secret key has {KEY_BYTES} bytes.")
        self._seeds = signing, sealing

    @cached_property
    def signing_key(self) -> Ed25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seeds[0])

    @cached_property
    def sealing_key(self) -> X25519PrivateKey:
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

        return X25519PrivateKey.from_private_bytes(self._seeds[1])

    @cached_property
    def public(self) -> PublicIdentity:
        return PublicIdentity(
            self.signing_key.public_key().public_bytes_raw(), self.sealing_key.public_key().public_bytes_raw()
        )

    @classmethod
    def create(cls) -> Self:
        """New keys, which are nowhere kept."""
        return cls(secrets.token_bytes(KEY_BYTES), secrets.token_bytes(KEY_BYTES))

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The keys in this folder; None: there are none yet.

        Raises:
            IdentityUnusable: as `load_or_create`.
        """
        path = folder / FILE
        try:
            mode = path.stat().st_mode
            text = path.read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            _unusable(path, f"cannot be read ({type(error).__name__})")
        if os.name == "posix" and mode & 0o077:
            raise IdentityUnusable(
                f"{path} holds this machine's secret keys, and other users may read it "
                f"(mode {mode & 0o777:04o}).",
                hint=f"Run: chmod 600 {path}. If others use this machine, delete the file instead and pair anew.",
            )
        try:
            content = json.loads(text)
            return cls(from_base64url(content["signing"]), from_base64url(content["sealing"]))
        except (InvalidIdentity, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            _unusable(path, "is damaged")

    @classmethod
    def load_or_create(cls, folder: Path) -> Self:
        """The keys in `folder/identity.json` (mode 0600), made when there are none. Of several processes
        that make them at once all get the same.

        Args:
            folder: exists, or is made.

        Raises:
            IdentityUnusable: the file is damaged, or readable by others, or cannot be written. It is left
                as it is, and no new keys are made: devices know the old ones.
        """
        present = cls.load(folder)
        if present is not None:
            return present
        path, made = folder / FILE, cls.create()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            made._put(path)
        except OSError as error:
            _unusable(path, f"cannot be written ({error.strerror})")
        kept = cls.load(folder)
        if kept is None:
            _unusable(path, "disappeared just after it was written")
        return kept

    @property
    def id(self) -> str:
        return self.public.id

    def sign(self, message: bytes) -> bytes:
        """64 bytes (RFC 8032)."""
        return self.signing_key.sign(message)

    def __repr__(self) -> str:
        return f"Identity({self.id})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("An identity holds secret keys and is neither copied nor pickled.")

    def _put(self, path: Path) -> None:
        """Write the file unless there is one now; whole or not at all."""
        content = {
            "about": "Secret keys of this machine. Whoever has them is this machine.",
            "signing": base64url(self._seeds[0]),
            "sealing": base64url(self._seeds[1]),
        }
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="ascii") as file:
                file.write(json.dumps(content, indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def base64url(content: bytes) -> str:
    """RFC 4648 §5 without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def from_base64url(text: str) -> bytes:
    """
    Raises:
        ValueError: it is not exactly what `base64url` writes.
    """
    content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base64url(content) != text:
        raise ValueError("not canonical base64url")
    return content


def _unusable(path: Path, what: str) -> NoReturn:
    raise IdentityUnusable(
        f"The file of this machine's keys, {path}, {what}.",
        hint="Put it back from a backup. Without one delete it: new keys are made, and every device pairs anew.",
    ) from None
