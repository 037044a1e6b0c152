"""Models and adapters as files: what is told of them, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.errors import ConfigurationError, ModelNotFound, ModelUnusable
from support.llama_backend import CONTEXT, Make, ask


def test_the_description_names_model_device_and_reason(make: Make) -> None:
    description = make("random").describe()
    assert (description.backend, description.model) == ("llama_cpp", "random.gguf")
    assert (description.context_length, description.quantization) == (CONTEXT, "all F32")
    assert description.device_reason
    assert description.details["threads"] == 1
    assert "?" not in description.details["description"]
    assert description.details["description"].split()[1][-1] in "KMB"


def test_a_lora_adapter_changes_the_answer_and_is_named(make: Make, models: dict[str, Path]) -> None:
    plain = make("random")
    settings = plain._settings.model_copy(deep=True)
    settings.lora.enabled = True
    settings.lora.path = str(models["adapter"])
    adapted = LlamaCppBackend(settings)
    try:
        assert adapted.describe().adapter == "adapter.gguf"
        assert ask(adapted, "hi", max_new_tokens=20) != ask(plain, "hi", max_new_tokens=20)
    finally:
        adapted.close()


def test_an_adapter_in_another_format_or_place_is_named(make: Make, models: dict[str, Path]) -> None:
    settings = make("random")._settings.model_copy(deep=True)
    settings.lora.enabled = True
    settings.lora.path = "adapter.safetensors"
    with pytest.raises(ConfigurationError, match=r"adapter\.safetensors"):
        LlamaCppBackend(settings)
    settings.lora.path = "missing.gguf"
    with pytest.raises(ModelNotFound, match=r"missing\.gguf"):
        LlamaCppBackend(settings).load()
    settings.lora.path = str(models["random"])
    backend = LlamaCppBackend(settings)
    with pytest.raises(ModelUnusable, match="adapter"):
        backend.load()
    backend.close()


def test_a_missing_model_is_named(make: Make, tmp_path: Path) -> None:
    backend = make(tmp_path / "nowhere.gguf")
    with pytest.raises(ModelNotFound, match=r"nowhere\.gguf"):
        backend.load()
    with pytest.raises(ModelNotFound):
        ask(backend, "hi")


@pytest.mark.parametrize("content", [b"", b"not a model", b"GGUF" + bytes(500)])
def test_a_corrupt_model_is_refused_and_named(make: Make, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "corrupt.gguf"
    path.write_bytes(content)
    backend = make(path)
    with pytest.raises(ModelUnusable, match=r"corrupt\.gguf"):
        backend.load()
    with pytest.raises(ModelUnusable):
        ask(backend, "hi")
    assert not backend.stats().loaded
