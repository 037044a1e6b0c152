import json
import logging
from pathlib import Path

import pytest
from orchestrator_core.backends.factory import choose_backend, create_backend
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.backends.model_files import builtin_folders, find_builtin, resolve_model_path
from orchestrator_core.errors import ConfigurationError, ModelNotFound, ModelUnusable
from orchestrator_core.settings import Settings
from support.scripted import BACKEND, ScriptedBackend


def settings(data: Path, **model: object) -> Settings:
    return Settings.model_validate({"data": data, "model": model})


def gguf(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"GGUF rest")
    return file


def hf_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_auto_takes_the_backend_that_fits_what_is_there(tmp_path: Path) -> None:
    model_file = gguf(tmp_path / "some.gguf")
    odd_name = gguf(tmp_path / "sha256-0123")
    folder = hf_folder(tmp_path / "hf")
    with_gguf = gguf(tmp_path / "folder" / "only.gguf").parent
    cases = {
        "builtin": "llama_cpp",
        str(model_file): "llama_cpp",
        str(odd_name): "llama_cpp",
        str(with_gguf): "llama_cpp",
        str(folder): "transformers",
        "mistralai/Mistral-7B-Instruct-v0.2": "transformers",
    }
    assert {path: choose_backend(settings(tmp_path, path=path)).value for path in cases} == cases
    assert choose_backend(settings(tmp_path, url="http://127.0.0.1:1/v1")).value == "openai"


def test_the_choice_comes_with_its_reason(tmp_path: Path) -> None:
    assert choose_backend(settings(tmp_path)).reason == "the built-in model is a GGUF file"
    assert choose_backend(settings(tmp_path, backend="openai")).reason == "model.backend is openai"


def test_a_named_backend_is_taken_whatever_the_path_looks_like(tmp_path: Path) -> None:
    assert choose_backend(settings(tmp_path, backend="transformers", path="a.gguf")).value == "transformers"


@pytest.mark.parametrize("path", ["absent.gguf", "owner/absent.gguf", "buitlin", "x" * 5000])
def test_a_name_that_means_nothing_is_not_found(tmp_path: Path, path: str) -> None:
    with pytest.raises(ModelNotFound, match="There is no model at") as caught:
        choose_backend(settings(tmp_path, path=path))
    assert "owner/name" in str(caught.value.hint)


def test_a_file_or_folder_of_something_else_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    for name in ("notes.txt", "empty"):
        with pytest.raises(ModelUnusable, match="neither a GGUF file nor"):
            choose_backend(settings(tmp_path, path=str(tmp_path / name)))


def test_a_backend_of_ones_own_is_made_without_loading(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        backend = create_backend(settings(tmp_path, backend=BACKEND, path="echo"))
    assert isinstance(backend, ScriptedBackend)
    assert not backend.stats().loaded
    assert f"Backend {BACKEND}: model.backend is {BACKEND}" in caplog.text


@pytest.mark.parametrize("path", ["no_such_module:make", "json:no_such_name", "json:decoder.__name__"])
def test_an_import_path_that_leads_nowhere_is_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigurationError, match="model.backend '" + path):
        create_backend(settings(tmp_path, backend=path))


@pytest.mark.parametrize("text", ["scripted", "os", "a:b c", "a.b", ":b", "a:"])
def test_a_backend_that_is_none_is_refused_when_settings_are_read(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match="module:function"):
        settings(tmp_path, backend=text)


def test_quantisation_without_transformers_is_said_to_have_no_effect(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = settings(tmp_path, backend=BACKEND, path="echo")
    wanted.quantization.enabled = True
    create_backend(wanted)
    assert "quantization.enabled has no effect" in caplog.text


def test_names_are_looked_up_in_the_models_folder_of_the_data(tmp_path: Path) -> None:
    model_file = gguf(tmp_path / "models" / "mine.gguf")
    assert resolve_model_path(settings(tmp_path, path="mine.gguf")) == model_file


def test_a_path_is_resolved_to_the_file_or_folder_it_means(tmp_path: Path) -> None:
    only = gguf(tmp_path / "one" / "only.gguf")
    first = gguf(tmp_path / "split" / "big-00001-of-00002.gguf")
    gguf(tmp_path / "split" / "big-00002-of-00002.gguf")
    folder = hf_folder(tmp_path / "hf")
    for given, meant in [(only, only), (only.parent, only), (first.parent, first), (folder, folder)]:
        assert resolve_model_path(settings(tmp_path, path=str(given))) == meant


def test_a_folder_with_several_models_asks_for_one(tmp_path: Path) -> None:
    gguf(tmp_path / "two" / "a.gguf")
    gguf(tmp_path / "two" / "b.gguf")
    with pytest.raises(ConfigurationError, match=r"several models: a\.gguf, b\.gguf"):
        resolve_model_path(settings(tmp_path, path=str(tmp_path / "two")))


def adapter_folder(folder: Path, base: object = "owner/base") -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    return folder


def test_auto_recognises_the_folder_of_an_adapter(tmp_path: Path) -> None:
    wanted = settings(tmp_path, path=str(adapter_folder(tmp_path / "tuned")))
    assert choose_backend(wanted).reason == "tuned is the folder of a LoRA adapter"
    assert resolve_model_path(wanted) == tmp_path / "tuned"
    description = create_backend(wanted).describe()
    assert (description.backend, description.model) == ("transformers", "owner/base")
    assert description.adapter == str(tmp_path / "tuned")


def test_a_model_with_an_adapter_in_its_folder_is_a_model(tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "both")
    (folder / "config.json").write_text("{}")
    assert create_backend(settings(tmp_path, path=str(folder))).describe().adapter is None


@pytest.mark.parametrize("base", [None, "", 7])
def test_an_adapter_that_names_no_base_is_unusable(tmp_path: Path, base: object) -> None:
    folder = adapter_folder(tmp_path / "tuned", base)
    with pytest.raises(ModelUnusable, match="does not name the adapter's base model") as caught:
        create_backend(settings(tmp_path, path=str(folder)))
    assert "lora.path" in str(caught.value.hint)


def test_a_broken_adapter_is_unusable(tmp_path: Path) -> None:
    folder = adapter_folder(tmp_path / "tuned")
    (folder / "adapter_config.json").write_text("{ not json")
    with pytest.raises(ModelUnusable, match="adapter_config.json in .*tuned.* cannot be read"):
        create_backend(settings(tmp_path, path=str(folder)))


def test_two_adapters_at_once_are_refused(tmp_path: Path) -> None:
    wanted = settings(tmp_path, path=str(adapter_folder(tmp_path / "tuned")))
    wanted.lora.enabled = True
    wanted.lora.path = str(tmp_path / "tuned")
    assert create_backend(wanted).describe().adapter == str(tmp_path / "tuned")
    wanted.lora.path = str(tmp_path / "another")
    with pytest.raises(ConfigurationError, match="another"):
        create_backend(wanted)


def test_the_backend_of_a_folder_of_gguf_files_is_made_for_one_and_refused_for_several(
    tmp_path: Path,
) -> None:
    only = gguf(tmp_path / "folder" / "only.gguf")
    wanted = settings(tmp_path, path=str(only.parent))
    assert isinstance(create_backend(wanted), LlamaCppBackend)
    gguf(tmp_path / "folder" / "second.gguf")
    with pytest.raises(ConfigurationError, match=r"several models: only\.gguf, second\.gguf"):
        create_backend(wanted)


def test_a_missing_path_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        resolve_model_path(settings(tmp_path, path=str(tmp_path / "absent.gguf")))


def test_the_builtin_is_the_one_gguf_of_the_first_folder_that_has_any(tmp_path: Path) -> None:
    model_file = gguf(tmp_path / "b" / "tiny.gguf")
    assert find_builtin([tmp_path / "a", tmp_path / "b"]) == model_file


def test_a_missing_builtin_says_where_it_was_looked_for_and_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no .*gguf in .*nowhere") as caught:
        find_builtin([tmp_path / "nowhere"])
    assert "train_tiny.py" in str(caught.value.hint)


def test_the_builtin_is_looked_for_beside_the_learning_room() -> None:
    assert builtin_folders()[0].parts[-2:] == ("fine-tuning", "builtin")
