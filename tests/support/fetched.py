"""What `make setup-dev` fetched; a test that asks for what is missing is skipped, and fails in CI."""

import os
from pathlib import Path

import pytest
from support.setup_modules import setup_part


def gemma() -> Path:
    """Gemma 3 270M, the base model, as a GGUF file."""
    return _existing(setup_part("fetched").gemma())


def llama_source() -> Path:
    """llama.cpp's source: `convert_hf_to_gguf.py`, `models/templates/*.jinja`, `models/ggml-vocab-*.gguf`."""
    return _existing(setup_part("fetched").llama_source())


def _existing(path: Path) -> Path:
    if not path.exists():
        reason = f"{path} is missing; `make setup-dev` fetches it"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return path
