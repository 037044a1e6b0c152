"""llama.cpp's source, for its converters: fetched by hash as the engine's build fetches it, never kept here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from shared_context.child_environment import child_environment

from fine_tuning.errors import ExportFailed

SETUP = Path(__file__).resolve().parents[2] / "deployment" / "setup"


def cache_folder() -> Path:
    """What is slow to make or fetch again; shared by every checkout of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "orchestrator"


def llama_source() -> Path:
    """The folder that holds `convert_hf_to_gguf.py` and `convert_lora_to_gguf.py`; fetched on first use.

    Raises:
        ExportFailed: it cannot be had.
    """
    command = [sys.executable, str(SETUP), "llama-source"]
    result = subprocess.run(  # noqa: S603 - our own script
        command, capture_output=True, text=True, check=False, env=child_environment(installs=True)
    )
    lines = result.stdout.strip().splitlines()
    if result.returncode or not lines or not Path(lines[-1]).is_dir():
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:] or ["it printed nothing"]
        raise ExportFailed(f"llama.cpp's source, which has the converters, cannot be fetched: {said[0]}")
    return Path(lines[-1])
