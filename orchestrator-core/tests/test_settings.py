from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import ConfigurationError
from orchestrator_core.settings import (
    ENVIRONMENT,
    Config,
    Settings,
    default_config_file,
    default_data_folder,
    load_settings,
)
from orchestrator_core.settings_sources import setting_names
from pydantic import ValidationError

EXAMPLE = Path(__file__).parents[2] / "orchestrator.example.yaml"
SECRET = "hunter2-do-not-show"


@pytest.fixture(autouse=True)
def clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the developer's machine reaches a test."""
    for name in [*ENVIRONMENT, "ORCHESTRATOR_CONFIG", "XDG_DATA_HOME"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def written(folder: Path, text: str) -> Path:
    file = folder / "orchestrator.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return file


def flat(tree: dict[str, Any], names: set[str], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, dict) and dotted not in names:
            out |= flat(value, names, f"{dotted}.")
        else:
            out[dotted] = value
    return out


def refusal(**sources: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**sources)
    return caught.value.message


# --- sources -----------------------------------------------------------------------------------


def test_without_any_source_everything_is_the_default() -> None:
    assert load_settings(environ={}) == Settings()


def test_plain_settings_do_not_read_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_PORT", "5055")
    assert Settings().server.port == 5000
    assert load_settings().server.port == 5055


def test_flags_beat_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = written(tmp_path, "server: {port: 1, host: file.lan, threads: 7}\n")
    settings = load_settings(
        file=file,
        environ={"ORCHESTRATOR_PORT": "2", "ORCHESTRATOR_HOST": "env.lan"},
        overrides={"server.port": 3, "server.host": None},
    )
    assert (settings.server.port, settings.server.host, settings.server.threads) == (3, "env.lan", 7)
    assert settings.server.max_body_bytes == 2 * 1024 * 1024


def test_an_older_name_yields_to_the_long_form_and_that_to_the_short_name() -> None:
    names = {
        "LLM_LOG_LEVEL": "ERROR",
        "ORCHESTRATOR_LOG__LEVEL": "WARNING",
        "ORCHESTRATOR_LOG_LEVEL": "DEBUG",
    }
    for expected in ("DEBUG", "WARNING", "ERROR"):
        strongest = {
            "DEBUG": names,
            "WARNING": dict(list(names.items())[:2]),
            "ERROR": dict(list(names.items())[:1]),
        }
        assert load_settings(environ=strongest[expected]).log.level == expected


def test_every_short_variable_sets_its_setting() -> None:
    samples = {
        "data": "/srv/x", "server.host": "10.0.0.1", "server.port": "81", "server.api_key": "k",
        "server.allowed_hosts": "a.lan, b.lan", "server.allowed_origins": "app://a.b", "model.path": "m.gguf", "model.backend": "openai",
        "model.url": "http://h/v1", "model.api_key": "k2", "model.context_length": "4096",
        "context.folder": "/srv/c", "context.project": "p", "engine.threads": "3",
        "engine.idle_unload_s": "300", "log.level": "debug", "generation.max_new_tokens": "9",
        "generation.temperature": "0.1", "quantization.enabled": "1",
        "quantization.load_in_bits": "8", "model.device": "cpu",
    }  # fmt: skip
    expected = {
        "data": Path("/srv/x"), "server.port": 81, "server.allowed_hosts": ["a.lan", "b.lan"],
        "server.allowed_origins": ["app://a.b"],
        "model.context_length": 4096, "context.folder": Path("/srv/c"), "engine.threads": 3,
        "engine.idle_unload_s": 300.0, "log.level": "DEBUG", "generation.max_new_tokens": 9,
        "generation.temperature": 0.1, "quantization.enabled": True, "quantization.load_in_bits": 8,
    }  # fmt: skip
    for name, dotted in ENVIRONMENT.items():
        value: Any = load_settings(environ={name: samples[dotted]})
        for part in dotted.split("."):
            value = getattr(value, part)
        shown = value.get_secret_value() if "api_key" in dotted else value
        assert shown == expected.get(dotted, samples[dotted]), name


def test_the_long_form_reaches_settings_without_a_short_name() -> None:
    settings = load_settings(
        environ={
            "ORCHESTRATOR_ENGINE__N_GPU_LAYERS": "12",
            "ORCHESTRATOR_LORA__TARGET_MODULES": "q_proj,k_proj",
            "ORCHESTRATOR_GENERATION__STOP": '["\\n\\n", "END"]',
            "ORCHESTRATOR_ENGINE__SAVE_PREFIX": "false",
        }
    )
    assert settings.engine.n_gpu_layers == 12
    assert settings.lora.target_modules == ["q_proj", "k_proj"]
    assert settings.generation.stop == ["\n\n", "END"]
    assert settings.engine.save_prefix is False


def test_an_empty_variable_counts_as_absent() -> None:
    assert load_settings(environ={"ORCHESTRATOR_PORT": "", "LLM_DEVICE": ""}) == Settings()


def test_the_users_config_file_is_found_by_itself() -> None:
    written(default_config_file().parent, "server: {port: 5055}\n")
    assert load_settings(environ={}).server.port == 5055


def test_a_named_file_wins_over_the_users_own(tmp_path: Path) -> None:
    written(default_config_file().parent, "server: {port: 1}\n")
    file = written(tmp_path, "server: {port: 2}\n")
    assert load_settings(environ={"ORCHESTRATOR_CONFIG": str(file)}).server.port == 2


@pytest.mark.parametrize("text", ["", "# only a comment\n", "server:\nmodel:\n", "{}\n"])
def test_an_empty_file_or_section_changes_nothing(tmp_path: Path, text: str) -> None:
    assert load_settings(file=written(tmp_path, text), environ={}) == Settings()


def test_home_is_expanded_in_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load_settings(environ={"ORCHESTRATOR_DATA": "~/memory", "ORCHESTRATOR_MODEL": "~/m.gguf"})
    assert settings.data == tmp_path / "memory"
    assert settings.model.path == str(tmp_path / "m.gguf")
    assert settings.context_folder == tmp_path / "memory" / "context"
    assert settings.models_folder == tmp_path / "memory" / "models"


def test_the_data_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert Settings().data == default_data_folder() == tmp_path / "orchestrator"


# --- refusals ----------------------------------------------------------------------------------


def test_a_refusal_names_setting_source_and_value(tmp_path: Path) -> None:
    by_variable = refusal(environ={"ORCHESTRATOR_PORT": "http"})
    assert all(part in by_variable for part in ("'server.port'", "ORCHESTRATOR_PORT", "'http'"))
    by_older_name = refusal(environ={"LLM_QUANT_BITS": "5"})
    assert all(part in by_older_name for part in ("'quantization.load_in_bits'", "LLM_QUANT_BITS", "4 or 8"))
    file = written(tmp_path, "generation: {temperature: 9}\n")
    by_file = refusal(file=file, environ={})
    assert all(
        part in by_file for part in ("'generation.temperature'", str(file), "9", "less than or equal to 5")
    )
    by_flag = refusal(environ={"ORCHESTRATOR_PORT": "80"}, overrides={"server.port": 70_000})
    assert "command line" in by_flag
    assert "70000" in by_flag


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server: {prot: 5000}", "Did you mean 'server.port'?"),
        ("sever: {port: 5000}", "There is no setting 'sever'"),
        ("server: 5000", "'server'"),
        ("- a\n- b\n", "must hold keys and values"),
        ("just text", "must hold keys and values"),
        ("1: 2", "must hold keys and values"),
        ("server: {port: [", "Cannot read the configuration file"),
        ("generation: {grammar: a, json_schema: {}}", "exclude each other"),
        ("engine: {n_gpu_layers: many}", "valid integer"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refusal(file=written(tmp_path, text), environ={})


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xff\xfe\x00 server")
    assert "Cannot read the configuration file" in refusal(file=file, environ={})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    assert "does not exist" in refusal(file=tmp_path / "none.yaml", environ={})
    assert "does not exist" in refusal(environ={"ORCHESTRATOR_CONFIG": str(tmp_path / "none.yaml")})


def test_a_misspelt_long_variable_is_refused() -> None:
    assert "Did you mean 'server.port'?" in refusal(environ={"ORCHESTRATOR_SERVER__PROT": "1"})
    assert "ORCHESTRATOR_SEVER__PORT" in refusal(environ={"ORCHESTRATOR_SEVER__PORT": "1"})


def test_secrets_never_show(tmp_path: Path) -> None:
    settings = load_settings(environ={"ORCHESTRATOR_API_KEY": SECRET, "ORCHESTRATOR_MODEL_API_KEY": SECRET})
    assert settings.server.api_key is not None
    assert settings.server.api_key.get_secret_value() == SECRET
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump_json()}"
    for text in (f"server: {{api_key: [{SECRET}]}}", f"server: {{apikey: {SECRET}}}", f"server: {SECRET}"):
        with pytest.raises(ConfigurationError) as caught:
            load_settings(file=written(tmp_path, text), environ={})
        assert SECRET not in caught.value.message
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_any_text_for_the_port_is_a_port_or_a_clear_refusal(text: str) -> None:
    try:
        assert 0 <= load_settings(environ={"ORCHESTRATOR_PORT": text}).server.port <= 65535
    except ConfigurationError as error:
        assert "ORCHESTRATOR_PORT" in error.message


# --- programs ----------------------------------------------------------------------------------


def test_config_is_changed_by_plain_assignment() -> None:
    cfg = Config()
    cfg.generation.temperature = 0.3
    cfg.generation.max_new_tokens = 1024
    cfg.quantization.enabled = True
    cfg.quantization.load_in_bits = 4
    cfg.lora.enabled = True
    cfg.lora.rank = 16
    cfg.lora.target_modules = ["q_proj", "v_proj"]
    assert isinstance(cfg, Settings)
    assert pickle.loads(pickle.dumps(cfg)) == cfg
    assert Config().generation.temperature == 0.7


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [("generation", "temperature", -1), ("quantization", "load_in_bits", 5), ("server", "nothing", 1)],
)
def test_a_wrong_assignment_is_refused(section: str, key: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        setattr(getattr(Config(), section), key, value)


# --- the example file --------------------------------------------------------------------------


def test_the_example_holds_exactly_the_settings_with_their_defaults() -> None:
    names = set(setting_names(Settings))
    tree = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    given_values = flat(tree, names)
    assert set(given_values) == names
    assert list(tree) == list(Settings.model_fields)
    assert load_settings(file=EXAMPLE, environ={}) == Settings()


def test_the_example_explains_every_key_and_names_every_variable() -> None:
    text = EXAMPLE.read_text("utf-8")
    for block in re.split(r"\n\s*\n", text.split("`null` means", 1)[1])[1:]:
        keys = [line for line in block.splitlines() if not line.lstrip().startswith("#") and ":" in line]
        assert "#" in block, block
        assert any("Default:" in line for line in block.splitlines()) or not keys[-1].startswith("  "), block
        assert len([key for key in keys if key.startswith("  ")]) <= 1, block
    assert {name for name in ENVIRONMENT if name not in text} == set()
