"""The key that clients of this tier need. A VPS never serves without one.

It comes from the settings (`server.api_key`, ORCHESTRATOR_API_KEY). Where nobody set one, it is made
once and kept in the data folder, readable by its owner only.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from orchestrator_core.errors import ConfigurationError
from orchestrator_core.settings import Settings
from pydantic import SecretStr
from shared_context.storage.permissions import read_or_make

FILE_NAME = "api-key"
_BYTES = 32


def key_file(data: Path) -> Path:
    return data / FILE_NAME


def provide_key(settings: Settings) -> bool:
    """Put the kept key into the settings where they have none, making it first if need be.

    Returns:
        Whether a new one was made.

    Raises:
        ConfigurationError: the file cannot be read or written, or holds nothing.
    """
    if settings.server.api_key is not None:
        return False
    path = key_file(settings.data)
    try:
        text, made = read_or_make(path, lambda: secrets.token_urlsafe(_BYTES) + "\n")
    except OSError as error:
        raise ConfigurationError(
            f"The key file {str(path)!r} cannot be used: {error.strerror}.",
            hint="Set ORCHESTRATOR_API_KEY, or mend the permissions of the data folder.",
        ) from error
    key = text.strip()
    if not key:
        raise ConfigurationError(
            f"The key file {str(path)!r} is empty.",
            hint="Delete it, and a new key is made at the next start.",
        )
    settings.server.api_key = SecretStr(key)
    return made
