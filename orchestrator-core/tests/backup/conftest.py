from __future__ import annotations

from pathlib import Path

import pytest
from orchestrator_core.backup.snapshot import DataPlace
from support.data_folders import fill


@pytest.fixture
def place(tmp_path: Path) -> DataPlace:
    """A data folder in which `first` was said, with a model and what can be rebuilt."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    fill(data, "first")
    (data / "models").mkdir()
    (data / "models" / "big.gguf").write_bytes(b"g" * 2_000_000)
    (data / "search.db").write_bytes(b"an index")
    (data / "lock").touch()
    settings = tmp_path / "orchestrator.yaml"
    settings.write_text("server:\n  port: 5055\n")
    return DataPlace(data, data / "context", settings)
