"""Models that are there, missing, damaged or cached, and packages that are not installed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from orchestrator_core.backends.transformers import TransformersBackend
from orchestrator_core.errors import ModelNotFound, ModelUnusable
from orchestrator_core.settings import HF_SEED_MODEL, Settings
from support.openai_server import HttpDouble
from support.tiny_hf_backend import answer, backend_of

pytestmark = pytest.mark.slow


def test_a_model_in_the_cache_is_loaded_without_asking_the_hub(
    folder: Path, tmp_path: Path, backend: TransformersBackend
) -> None:
    """In a process of its own: the hub's address is read when its library is imported."""
    snapshot = tmp_path / "hub" / "models--owner--cached" / "snapshots" / "0123"
    shutil.copytree(folder, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("0123")
    code = """
import sys
from orchestrator_core.backends.factory import create_backend
from orchestrator_core.settings import Settings
backend = create_backend(Settings.model_validate({"model": {"path": "owner/cached"}}))
sys.stdout.write(f"{backend.count_tokens('the cat')} {backend.describe().model}")
"""
    hub = HttpDouble(lambda exchange: exchange.json({}, 500))
    surroundings = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    surroundings["HF_ENDPOINT"] = hub.url.removesuffix("/v1")
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env=surroundings,
        )
    finally:
        hub.close()
    assert done.stdout == f"{backend.count_tokens('the cat')} owner/cached"
    assert hub.seen == []


def test_describe_says_how_and_why(backend: TransformersBackend, folder: Path) -> None:
    backend.load()
    description = backend.describe()
    assert (description.backend, description.model, description.device) == (
        "transformers",
        str(folder),
        "cpu",
    )
    assert "torch finds no GPU" in description.device_reason
    assert description.details == {"dtype": "float32"}
    assert description.exact_token_counts


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model folder"):
        backend_of(tmp_path / "absent").load()


def test_a_hub_id_that_cannot_be_had_says_what_to_do(offline: None) -> None:
    with pytest.raises(ModelNotFound, match="HF_HUB_OFFLINE is set") as caught:
        backend_of("nobody/there-is-no-such-model").load()
    assert "hf download nobody/there-is-no-such-model" in str(caught.value.hint)
    assert TransformersBackend(Settings()).describe().model == HF_SEED_MODEL


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelUnusable, match="is a file"):
        backend_of(tmp_path / "model.gguf").load()


@pytest.mark.parametrize(
    "damage", ["config", "weights", "tokenizer", "architecture", "own code", "no weights"]
)
def test_a_damaged_folder_is_unusable_and_can_be_mended(folder: Path, tmp_path: Path, damage: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    config = json.loads((broken / "config.json").read_text())
    match damage:
        case "config":
            (broken / "config.json").write_text("{ not json")
        case "weights":
            weights = broken / "model.safetensors"
            weights.write_bytes(weights.read_bytes()[:1000])
        case "no weights":
            (broken / "model.safetensors").unlink()
        case "tokenizer":
            (broken / "tokenizer.json").write_text("[]")
        case "architecture":
            (broken / "config.json").write_text(json.dumps({**config, "model_type": "unheard_of"}))
        case "own code":
            own = {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}
            (broken / "config.json").write_text(json.dumps({**config, "model_type": "mine", "auto_map": own}))
    backend = backend_of(broken)
    with pytest.raises(ModelUnusable, match="broken"):
        backend.load()
    shutil.rmtree(broken)
    shutil.copytree(folder, broken)
    assert answer(backend)


def test_without_torch_the_pip_command_is_given(folder: Path) -> None:
    """In a process of its own, because torch cannot be unimported here."""
    code = f"""
import sys
sys.modules["torch"] = None
from orchestrator_core.backends.factory import create_backend
from orchestrator_core.errors import MissingExtra
from orchestrator_core.settings import Settings
backend = create_backend(Settings.model_validate({{"model": {{"path": {str(folder)!r}}}}}))
backend.describe()
try:
    backend.load()
except MissingExtra as error:
    assert isinstance(error.__cause__, ImportError)
    sys.stdout.write(error.hint)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "Run: `orchestrator install hf`"


def test_the_backend_module_imports_nothing_heavy() -> None:
    code = "import sys, orchestrator_core.backends.transformers as t; print({'torch', 'transformers', 'peft'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"
