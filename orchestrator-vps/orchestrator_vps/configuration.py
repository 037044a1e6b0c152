"""The settings of this tier: the same as everywhere, with defaults that fit a VPS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator_core.settings import Settings, default_data_folder, load_settings

PORT = 8001
THREADS = 160
"""A stream holds a thread from its first to its last token: 100 clients that stream at once, desktops'
connections and short requests have to fit. Measured through the relay: 71 MB resident with no stream, 79 with
100, 82 with 150; short requests are answered as before."""


def load_vps_settings(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """See `load_settings`; where nobody chose: port 8001, 160 threads, and a data folder of its own
    (a desktop on the same machine is another replica, with another memory).

    Raises:
        ConfigurationError: see `load_settings`.
    """
    settings = load_settings(file=file, environ=environ, overrides=overrides)
    if "data" not in settings.model_fields_set:
        folder = default_data_folder()
        settings.data = folder.with_name(f"{folder.name}-vps")
    chosen = settings.server.model_fields_set.copy()
    if "port" not in chosen:
        settings.server.port = PORT
    if "threads" not in chosen:
        settings.server.threads = THREADS
    return settings
