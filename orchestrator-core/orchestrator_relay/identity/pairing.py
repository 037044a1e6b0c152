"""How a device and the desktop get to know each other's keys, by a secret that a person carried from one to the other.

Each side sends one *statement*, a JSON text, with two proofs over its bytes: an HMAC under a key of the one-time secret,
and a signature of the key that the statement introduces. The device's statement names the household it means to join,
the desktop's answers exactly that statement; so nobody in between can put his own key into either.

The secret is that of the QR code (128 random bits), or the typed code (60). Whoever sees a statement can try secrets
against its HMAC. For 128 bits that is hopeless for ever. For 60 bits each trial costs one scrypt of 16 MB, some 30 ms of
a core: 2^60 of them are a billion core-years, and the code is worth something for ten minutes and one device. No lasting
secret depends on it, so that nothing is won by finding it later.

Covered: who listens, alters, repeats or relays; a server that pretends to be the desktop; somebody who introduces a key
that is not his.
Not covered: who reads the code off the screen within its ten minutes, and is quicker.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlencode, urlsplit

from orchestrator_relay.errors import InvalidIdentity, InvalidPairing, PairingRefused
from orchestrator_relay.identity import typed_code
from orchestrator_relay.identity.machine import Identity, PublicIdentity, base64url, from_base64url

VERSION = 1
SECRET_BYTES = 16
MAX_STATEMENT_CHARS = 8192
MAX_LINK_CHARS = 4096
MAX_URLS = 8
PAGE = "/pair"
"""Path of the links: a page that says what to do with one."""

_CONTEXT = b"orchestrator pairing 1\n"
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**14, 8, 1


@dataclass(frozen=True, slots=True)
class PairingKeys:
    """One key for each direction, so that no side can be answered with its own proof."""

    device: bytes = field(repr=False)
    desktop: bytes = field(repr=False)

    @classmethod
    def of_secret(cls, secret: bytes, household: PublicIdentity) -> PairingKeys:
        """Of the QR code's secret."""
        return cls._derived(secret, household, b"secret")

    @classmethod
    def of_code(cls, typed: str, household: PublicIdentity) -> PairingKeys:
        """Of the typed code. Slow on purpose."""
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        kdf = Scrypt(household.id.encode("ascii"), 32, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P)
        return cls._derived(
            kdf.derive(typed_code.plain(typed).encode("utf-8", "replace")), household, b"code"
        )

    @classmethod
    def _derived(cls, material: bytes, household: PublicIdentity, kind: bytes) -> PairingKeys:
        # Imported where it is used: a server that nobody pairs with does without its memory.
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        salt = household.signing + household.sealing
        both = HKDF(SHA256(), 64, salt, _CONTEXT + kind).derive(material)
        return cls(both[:32], both[32:])


@dataclass(frozen=True, slots=True)
class Statement:
    """A text with its proofs, as it travels.

    Args:
        text: JSON, authenticated byte for byte.
        proof: HMAC-SHA256 under the sender's direction of `PairingKeys`; base64url.
        signature: Ed25519, of the key that the text introduces; base64url.
    """

    text: str
    proof: str
    signature: str

    @classmethod
    def made(cls, content: Mapping[str, Any], key: bytes, identity: Identity) -> Statement:
        text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
        message = _CONTEXT + text.encode("ascii")
        return cls(text, base64url(_mac(key, message)), base64url(identity.sign(message)))

    def proves(self, key: bytes) -> bool:
        """Whether who made it knows the secret. Constant time."""
        return hmac.compare_digest(_mac(key, self._message()), _bytes(self.proof))

    def content(self) -> dict[str, Any]:
        """What a proved statement says.

        Raises:
            InvalidPairing: it is no JSON object of this version.
        """
        try:
            content = json.loads(self.text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict) or content.get("v") != VERSION:
            raise InvalidPairing(
                "This is no statement of a pairing of this version.", hint="Update the older side."
            )
        return content

    def is_signed_by(self, public: PublicIdentity) -> bool:
        return public.verifies(_bytes(self.signature), self._message())

    @property
    def digest(self) -> str:
        return base64url(hashlib.sha256(self._message()).digest())

    def _message(self) -> bytes:
        return _CONTEXT + self.text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class PairingRequest:
    """What a device says: who it is, and which household it means."""

    household: PublicIdentity
    device: PublicIdentity
    name: str
    kind: str

    def statement(self, key: bytes, identity: Identity) -> Statement:
        content = {
            "v": VERSION,
            "household": self.household.text(),
            "device": self.device.text(),
            "name": self.name,
            "kind": self.kind,
            "nonce": base64url(secrets.token_bytes(16)),
        }
        return Statement.made(content, key, identity)

    @classmethod
    def read(cls, statement: Statement) -> PairingRequest:
        """
        Args:
            statement: with a proof that was found right.

        Raises:
            InvalidPairing: it says not what it must, or introduces a key that its sender has not.
        """
        content = statement.content()
        try:
            device, household = _identity(content, "device"), _identity(content, "household")
            request = cls(household, device, str(content["name"]), str(content["kind"]))
        except KeyError as error:
            raise InvalidPairing(f"The device's statement lacks {error.args[0]!r}.") from None
        if not statement.is_signed_by(device):
            raise InvalidPairing("The device did not sign its statement with the key that it introduces.")
        return request


@dataclass(frozen=True, slots=True)
class PairingAnswer:
    """What the desktop says: who it is, and where it can be reached.

    Args:
        urls: of the desktop, the best first.
        vps: URL of the household's VPS; None: it has none.
        vps_identity: the VPS's public keys, as far as the desktop knows them.
        vps_certificate: the VPS's own certificate (PEM); None: an authority vouches for it.
    """

    household: PublicIdentity
    name: str
    urls: tuple[str, ...] = ()
    vps: str | None = None
    vps_identity: PublicIdentity | None = None
    vps_certificate: str | None = None

    def statement(self, to: Statement, key: bytes, identity: Identity) -> Statement:
        content = {
            "v": VERSION,
            "to": to.digest,
            "household": self.household.text(),
            "name": self.name,
            "urls": list(self.urls),
            "vps": self.vps,
            "vps_identity": None if self.vps_identity is None else self.vps_identity.text(),
            "vps_certificate": self.vps_certificate,
        }
        return Statement.made(content, key, identity)

    @classmethod
    def read(cls, statement: Statement, to: Statement, key: bytes) -> PairingAnswer:
        """
        Raises:
            PairingRefused: whoever answered does not know the secret, or has not the household's key, or answered
                another device. Nothing that it said counts.
        """
        if not statement.proves(key):
            _not_the_desktop()
        try:
            content = statement.content()
            household = _identity(content, "household")
            urls = tuple(_url(text) for text in list(content["urls"])[:MAX_URLS])
            vps = None if content["vps"] is None else _url(content["vps"])
            vps_identity = None if content["vps_identity"] is None else _identity(content, "vps_identity")
            certificate = content["vps_certificate"]
            answer = cls(
                household, str(content["name"]), urls, vps, vps_identity, certificate and str(certificate)
            )
        except (KeyError, TypeError, InvalidPairing):
            _not_the_desktop()
        if content.get("to") != to.digest or not statement.is_signed_by(household):
            _not_the_desktop()
        return answer


@dataclass(frozen=True, slots=True)
class PairingLink:
    """What a QR code holds. Everything stands in the fragment, which no browser sends anywhere.

    Args:
        base: where the page is that explains the link: the first of `urls`, or the VPS.
        urls, vps: as in `PairingAnswer`.
        vps_fingerprint: SHA-256 of the VPS's own certificate, in hexadecimal digits; None: an authority vouches for it.
    """

    household: PublicIdentity
    secret: bytes = field(repr=False)
    urls: tuple[str, ...] = ()
    vps: str | None = None
    vps_fingerprint: str | None = None

    def text(self) -> str:
        """The URL. It holds the secret."""
        fields = [
            ("v", str(VERSION)),
            ("h", self.household.text()),
            ("s", base64url(self.secret)),
            *(("a", url.removeprefix("http://")) for url in self.urls),
            *([("r", self.vps)] if self.vps else []),
            *([("f", self.vps_fingerprint)] if self.vps_fingerprint else []),
        ]
        base = self.vps if self.vps and not self.vps_fingerprint else (*self.urls, self.vps or "")[0]
        return f"{base}{PAGE}#{urlencode(fields, safe=':/[]')}"

    @classmethod
    def parse(cls, text: str) -> PairingLink:
        """
        Raises:
            InvalidPairing: it is no such link, or not whole. It is not repeated: it may hold a secret.
        """
        try:
            if len(text) > MAX_LINK_CHARS:
                raise ValueError("too long")
            pairs = parse_qsl(urlsplit(text.strip()).fragment, strict_parsing=True, max_num_fields=32)
            fields = dict(pairs)
            secret = from_base64url(fields["s"])
            if fields["v"] != str(VERSION) or len(secret) != SECRET_BYTES:
                raise ValueError("another version, or not whole")
            urls = tuple(
                _url(value if "://" in value else f"http://{value}") for name, value in pairs if name == "a"
            )
            vps = _url(fields["r"]) if "r" in fields else None
            return cls(_identity(fields, "h"), secret, urls[:MAX_URLS], vps, _fingerprint(fields.get("f")))
        except (ValueError, KeyError, InvalidPairing):
            raise InvalidPairing(
                "This is no link for pairing, or not a whole one.",
                hint="Copy it whole, with everything behind the #, from `orchestrator pair`.",
            ) from None

    @staticmethod
    def is_link(text: str) -> bool:
        """Whether this is a link rather than a typed code."""
        return "#" in text or "://" in text


def _identity(content: Mapping[str, Any], name: str) -> PublicIdentity:
    try:
        return PublicIdentity.parse(str(content[name]))
    except InvalidIdentity as error:
        raise InvalidPairing(
            f"The field {name!r} of a pairing is no public identity.", hint=error.hint
        ) from None


def _url(text: object) -> str:
    """
    Raises:
        InvalidPairing: no http(s) URL of a server.
    """
    try:
        parts = urlsplit(str(text))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not isinstance(text, str) or not text.isprintable() or len(text) > 300 or parts.query:
        raise InvalidPairing("A pairing names an address that is none.")
    return text.rstrip("/")


def _fingerprint(text: object) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str) or len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise InvalidPairing("A pairing names a certificate by something that is no SHA-256 fingerprint.")
    return text


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _bytes(text: str) -> bytes:
    try:
        return from_base64url(text)
    except ValueError:
        return b""


def _not_the_desktop() -> NoReturn:
    raise PairingRefused(
        "Who answered is not the desktop that showed this code.",
        hint="Show a new code with `orchestrator pair` and use that one; if it happens again, somebody in this network pretends to be "
        "the desktop.",
        code="not_the_desktop",
    )
