"""Every tunable, in one place.

Sources, strongest first: flags (what the caller passes), environment, YAML file,
defaults. `orchestrator.example.yaml` documents each key and a test keeps the two equal.
`Config` is the same class under the name the Python examples use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from orchestrator_core.errors import ConfigurationError
from orchestrator_core.generation import GenerationConfig

BUILTIN_MODEL = "builtin"
"""`model.path` value that means the small model shipped with this repository."""

HF_SEED_MODEL = "mistralai/Mistral-7B-Instruct-v0.2"
"""The Hugging Face model the `transformers` backend uses when none is named."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())


class ModelSettings(Section):
    """Which model answers, and through which backend."""

    path: str = BUILTIN_MODEL
    backend: Literal["auto", "llama_cpp", "transformers", "openai", "scripted"] = "auto"
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    context_length: int | None = Field(None, ge=64, le=10_000_000)
    url: str | None = None
    """Base URL (ending in /v1) of the `openai` backend."""
    api_key: SecretStr | None = None
    connect_timeout_s: float = Field(5.0, gt=0)
    read_timeout_s: float = Field(120.0, gt=0)


class QuantizationSettings(Section):
    """bitsandbytes quantisation of the `transformers` backend."""

    enabled: bool = False
    load_in_bits: Literal[4, 8] = 4
    double_quantization: bool = True


class LoraSettings(Section):
    """LoRA adapter attached to the base model."""

    enabled: bool = False
    path: str | None = None
    rank: int = Field(16, ge=1, le=1024)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.05, ge=0.0, lt=1.0)
    target_modules: list[str] = Field(default_factory=lambda: ["q_proj", "v_proj"])


class EngineSettings(Section):
    """The llama.cpp engine process."""

    threads: int | None = Field(None, ge=1, le=512)
    n_gpu_layers: int | Literal["auto"] = "auto"
    max_sequences: int = Field(8, ge=1, le=64)
    """Answers that decode side by side; more wait in the queue."""
    max_queue: int = Field(64, ge=0, le=10_000)
    prefill_chunk: int = Field(256, ge=16, le=8192)
    """Prompt tokens per step: the longest pause a running answer sees."""
    kv_tokens: int | None = Field(None, ge=64)
    """KV cells shared by all sequences; default: chosen from the context length."""
    idle_unload_s: float = Field(0.0, ge=0.0)
    """Free the model after this many idle seconds; 0 keeps it loaded."""
    save_prefix: bool = True


class ServerSettings(Section):
    """HTTP."""

    host: str = "127.0.0.1"
    port: int = Field(5000, ge=0, le=65535)
    api_key: SecretStr | None = None
    allowed_hosts: list[str] = Field(default_factory=list)
    max_body_bytes: int = Field(2 * 1024 * 1024, ge=1024)
    max_message_chars: int = Field(200_000, ge=1)
    threads: int = Field(48, ge=2, le=1024)


class ContextSettings(Section):
    """The handoff documents and how much of the window they may take."""

    folder: Path | None = None
    """Default: `context/` in the data folder."""
    project: str | None = None
    """Subfolder of the active project; None: the three documents lie beside the portfolio."""
    share: float = Field(0.5, ge=0.0, le=0.9)
    """Part of the window that all documents together may use."""
    system_prompt: str | None = None


class LogSettings(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_bytes: int = Field(5 * 1024 * 1024, ge=10_000)
    backups: int = Field(3, ge=0, le=100)


class Settings(Section):
    """All sections. Build it with `load_settings`; plain `Settings()` is the defaults."""

    data: Path = Field(default_factory=lambda: default_data_folder())
    model: ModelSettings = Field(default_factory=ModelSettings)
    generation: GenerationConfig = Field(default_factory=GenerationConfig)
    quantization: QuantizationSettings = Field(default_factory=QuantizationSettings)
    lora: LoraSettings = Field(default_factory=LoraSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)
    context: ContextSettings = Field(default_factory=ContextSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @property
    def context_folder(self) -> Path:
        return self.context.folder or self.data / "context"


Config = Settings


def default_data_folder() -> Path:
    """`$XDG_DATA_HOME/orchestrator`, by default `~/.local/share/orchestrator`."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "orchestrator"


def default_config_file() -> Path:
    """`$XDG_CONFIG_HOME/orchestrator/orchestrator.yaml`."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "orchestrator" / "orchestrator.yaml"


ENVIRONMENT: dict[str, str] = {
    "ORCHESTRATOR_DATA": "data",
    "ORCHESTRATOR_HOST": "server.host",
    "ORCHESTRATOR_PORT": "server.port",
    "ORCHESTRATOR_API_KEY": "server.api_key",
    "ORCHESTRATOR_ALLOWED_HOSTS": "server.allowed_hosts",
    "ORCHESTRATOR_MODEL": "model.path",
    "ORCHESTRATOR_BACKEND": "model.backend",
    "ORCHESTRATOR_MODEL_URL": "model.url",
    "ORCHESTRATOR_MODEL_API_KEY": "model.api_key",
    "ORCHESTRATOR_CONTEXT_LENGTH": "model.context_length",
    "ORCHESTRATOR_CONTEXT_FOLDER": "context.folder",
    "ORCHESTRATOR_PROJECT": "context.project",
    "ORCHESTRATOR_THREADS": "engine.threads",
    "ORCHESTRATOR_KEEP_ALIVE": "engine.idle_unload_s",
    "ORCHESTRATOR_LOG_LEVEL": "log.level",
    "LLM_MODEL_PATH": "model.path",
    "LLM_MAX_NEW_TOKENS": "generation.max_new_tokens",
    "LLM_TEMPERATURE": "generation.temperature",
    "LLM_QUANT_ENABLED": "quantization.enabled",
    "LLM_QUANT_BITS": "quantization.load_in_bits",
    "LLM_DEVICE": "model.device",
    "LLM_LOG_LEVEL": "log.level",
}
"""Environment variables and the settings they set. An `LLM_*` name, from the first
chatbot, yields to the `ORCHESTRATOR_*` name of the same setting."""

_LISTS = frozenset({"server.allowed_hosts"})
_INTEGER_CHOICES = frozenset({"quantization.load_in_bits"})


def load_settings(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings from all sources.

    Args:
        file: YAML file; default: `ORCHESTRATOR_CONFIG`, else the user's config file if it exists.
            A file that was named must exist.
        environ: environment variables; default `os.environ`.
        overrides: dotted names to values, from flags (`{"server.port": 5055}`); None values
            are ignored.

    Raises:
        ConfigurationError: unknown key, wrong value, unreadable file; the message names the
            source, the key and the value.
    """
    environ = os.environ if environ is None else environ
    merged = _read_file(_config_file(file, environ))
    for dotted, value in _from_environment(environ).items():
        _set(merged, dotted, value)
    for dotted, value in (overrides or {}).items():
        if value is not None:
            _set(merged, dotted, value)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise ConfigurationError(
            _first_problem(error), hint="orchestrator.example.yaml lists every key with its values."
        ) from error


def _config_file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    if file is None and environ.get("ORCHESTRATOR_CONFIG"):
        file = Path(environ["ORCHESTRATOR_CONFIG"])
    if file is not None:
        if not file.is_file():
            raise ConfigurationError(f"The configuration file {str(file)!r} does not exist.")
        return file
    default = default_config_file()
    return default if default.is_file() else None


def _read_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        content = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"Cannot read the configuration file {str(file)!r}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigurationError(f"The configuration file {str(file)!r} must hold keys and values.")
    return content


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Values by dotted name; for two names of one setting the first in ENVIRONMENT wins."""
    found: dict[str, Any] = {}
    for name, dotted in ENVIRONMENT.items():
        text = environ.get(name, "")
        if text == "" or dotted in found:
            continue
        if dotted in _LISTS:
            found[dotted] = [part.strip() for part in text.split(",") if part.strip()]
        elif dotted in _INTEGER_CHOICES:
            found[dotted] = int(text) if text.isdigit() else text
        else:
            found[dotted] = text
    return found


def _set(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, leaf = dotted.split(".")
    for section in sections:
        child = tree.setdefault(section, {})
        if not isinstance(child, dict):
            raise ConfigurationError(f"The configuration key {section!r} must hold keys and values.")
        tree = child
    tree[leaf] = value


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    shown = "" if "api_key" in key else f" (given: {problem.get('input')!r})"
    return f"The setting {key!r} is not valid: {problem['msg']}{shown}."
