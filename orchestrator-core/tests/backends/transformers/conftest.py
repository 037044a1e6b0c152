from pathlib import Path

import pytest
from orchestrator_core.backends.transformers import TransformersBackend
from support.tiny_hf import save_model
from support.tiny_hf_backend import backend_of


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("hf") / "tiny")


@pytest.fixture(scope="session")
def backend(folder: Path) -> TransformersBackend:
    """Shared by all: what changes it needs one of its own."""
    return backend_of(folder)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
