"""LoRA adapters, and the base models they belong to."""

import json
import shutil
from pathlib import Path

import pytest
from orchestrator_core.backends.transformers import TransformersBackend
from orchestrator_core.errors import ConfigurationError, ModelNotFound, ModelUnusable
from support.tiny_hf import TEMPLATE, save_adapter, save_model
from support.tiny_hf_backend import answer, backend_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("quantized", [False, True])
def test_an_adapter_changes_the_answer(folder: Path, tmp_path: Path, quantized: bool) -> None:
    adapter = save_adapter(tmp_path / "adapter", folder)
    quantization = {"enabled": quantized}
    tuned = backend_of(folder, lora={"enabled": True, "path": str(adapter)}, quantization=quantization)
    assert answer(tuned) != answer(backend_of(folder, quantization=quantization))
    assert tuned.describe().adapter == str(adapter)


@pytest.mark.parametrize("relative", [False, True])
def test_the_folder_of_an_adapter_brings_its_base_model_along(
    folder: Path, tmp_path: Path, relative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder, tmp_path / "models" / "base")
    adapter = save_adapter(tmp_path / "models" / "tuned", tmp_path / "models" / "base")
    if relative:
        rename_base(adapter, "../base")
    tuned = backend_of("models/tuned", model={"backend": "auto"})
    explicit = backend_of(folder, lora={"enabled": True, "path": str(adapter)})
    assert answer(tuned) == answer(explicit) != answer(backend_of(folder))
    assert tuned.describe().adapter == "models/tuned"
    assert tuned.describe().model == ("../base" if relative else str(tmp_path / "models" / "base"))


def test_a_base_model_that_is_missing_is_named(folder: Path, tmp_path: Path, offline: None) -> None:
    adapter = save_adapter(tmp_path / "tuned", folder)
    rename_base(adapter, "/nowhere/to/be/found")
    with pytest.raises(
        ModelNotFound, match=r"tuned' belongs to the base model '/nowhere/to/be/found'"
    ) as caught:
        backend_of(adapter).load()
    assert "base_model_name_or_path" in str(caught.value.hint)
    rename_base(adapter, "nobody/no-such-base")
    with pytest.raises(
        ModelNotFound, match=r"tuned' .* 'nobody/no-such-base'.*HF_HUB_OFFLINE is set"
    ) as caught:
        backend_of(adapter).load()
    assert "hf download nobody/no-such-base" in str(caught.value.hint)


def test_the_tokenizer_beside_an_adapter_is_used_where_it_fits(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from transformers import AutoTokenizer

    adapter = save_adapter(tmp_path / "tuned", folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "of the adapter"
    tokenizer.save_pretrained(adapter)
    assert backend_of(adapter).chat_template() == "of the adapter"
    tokenizer.add_tokens(["[one more]"])
    tokenizer.save_pretrained(adapter)
    assert backend_of(adapter).chat_template() == TEMPLATE
    assert "using the model's own" in caplog.text


def rename_base(adapter: Path, base: str) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base_model_name_or_path": base}))


def test_a_fresh_adapter_changes_nothing_and_says_so(
    folder: Path, backend: TransformersBackend, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = backend_of(folder, lora={"enabled": True})
    assert answer(fresh) == answer(backend)
    assert "a fresh adapter is attached" in caplog.text


def test_an_adapter_that_is_missing_or_does_not_fit_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelUnusable, match="empty"):
        backend_of(folder, lora={"enabled": True, "path": str(tmp_path / "empty")}).load()
    other = save_model(tmp_path / "other", hidden=32)
    adapter = save_adapter(tmp_path / "adapter", other)
    with pytest.raises(ModelUnusable, match="adapter"):
        backend_of(folder, lora={"enabled": True, "path": str(adapter)}).load()
    with pytest.raises(ConfigurationError, match="target_modules"):
        backend_of(folder, lora={"enabled": True, "target_modules": ["nothing_like_it"]}).load()
