"""`vps.json` in the data folder: which VPS this desktop is enrolled with, and its secret for it.

Covered: only its owner may read the file (mode 0600, mended when it is found wider), the secret
is in no repr, and the file is whole or not there.
Not covered: whoever can read the owner's files.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from orchestrator_core.errors import ConfigurationError
from shared_context.storage.permissions import write_private

NAME = "vps.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VpsCredential:
    """
    Args:
        url: of the VPS, without a slash at the end.
        desktop_id: this desktop's name there.
        credential: the secret.
        certificate: PEM; the only one that is trusted. None: what the system trusts.
        tier: how the VPS labels its own answers.
        role: `source`, or `extra`: lends its model only.
        enrolled_at: ISO 8601, UTC.
    """

    url: str
    desktop_id: str
    credential: str = field(repr=False)
    certificate: str | None = field(default=None, repr=False)
    tier: str = "vps"
    role: str = "source"
    enrolled_at: str = ""


def path(data: Path) -> Path:
    return data / NAME


def write(data: Path, credential: VpsCredential) -> None:
    """Durable, and in one step.

    Raises:
        OSError: the folder cannot be written; what was there stays.
    """
    write_private(path(data), json.dumps(asdict(credential), indent=1))


def read(data: Path) -> VpsCredential | None:
    """None when this desktop is not enrolled.

    Raises:
        ConfigurationError: the file is there and cannot be used.
    """
    file = path(data)
    try:
        _mend_mode(file)
        fields: Any = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _unusable(file, type(error).__name__) from None
    known = VpsCredential.__dataclass_fields__
    if not isinstance(fields, dict):
        raise _unusable(file, "not a JSON object")
    try:
        credential = VpsCredential(**{name: value for name, value in fields.items() if name in known})
    except TypeError:
        raise _unusable(file, "a field is missing") from None
    texts = [credential.url, credential.desktop_id, credential.credential, credential.tier, credential.role]
    if not all(isinstance(text, str) and text for text in texts):
        raise _unusable(file, "a field is empty or no text")
    return credential


def delete(data: Path) -> None:
    path(data).unlink(missing_ok=True)


def stamp(data: Path) -> tuple[int, int] | None:
    """Another one whenever the file was replaced; None while there is none."""
    try:
        status = path(data).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _mend_mode(file: Path) -> None:
    mode = file.stat().st_mode & 0o777
    if os.name == "posix" and mode & 0o077:
        _log.warning("%s could be read by others (mode %03o); it is 0600 again", file.name, mode)
        file.chmod(0o600)


def _unusable(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{file} cannot be used ({why}).",
        hint="Delete it and enrol again: `orchestrator vps enroll URL CODE`",
    )
