"""Which household this device belongs to, and where its servers may be: what pairing leaves behind, in one file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from orchestrator_relay.errors import InvalidIdentity
from orchestrator_relay.identity.machine import PublicIdentity

from mobile_sync.errors import NotPaired

FILE = "household.json"


@dataclass(frozen=True)
class Membership:
    """
    Args:
        household: the desktop's public keys.
        device: this device's name in the household.
        urls: of the desktop, likeliest first.
        vps_url: None: the household has no VPS.
        vps: the VPS's public keys; None: TLS alone vouches for what it answers.
        vps_certificate: the only certificate (PEM) to trust there; None: what the system trusts.
    """

    household: PublicIdentity
    device: str = "phone"
    urls: tuple[str, ...] = ()
    vps_url: str | None = None
    vps: PublicIdentity | None = None
    vps_certificate: str | None = None

    @classmethod
    def read(cls, data: Path) -> Self:
        """
        Args:
            data: this device's data folder.

        Raises:
            NotPaired: there is none, or the file is damaged.
        """
        path = data / FILE
        try:
            fields = json.loads(path.read_text("utf-8"))
            for name in ("household", "vps"):
                fields[name] = None if fields[name] is None else PublicIdentity.parse(fields[name])
            return cls(**{**fields, "urls": tuple(map(str, fields["urls"]))})
        except FileNotFoundError:
            what = "This device is not paired with a desktop yet."
        except (OSError, ValueError, TypeError, KeyError, InvalidIdentity):
            what = f"{path} is damaged: which household this device belongs to is not known."
        raise NotPaired(what, "Run `orchestrator pair` on the desktop, and `orchestrator phone pair` here.")

    def write(self, data: Path) -> None:
        """
        Raises:
            OSError.
        """
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        fields = asdict(self) | {
            "household": self.household.text(),
            "vps": None if self.vps is None else self.vps.text(),
        }
        fresh = data / f".{FILE}.{os.getpid()}"
        fresh.write_text(json.dumps(fields, indent=1) + "\n", "utf-8")
        fresh.replace(data / FILE)
