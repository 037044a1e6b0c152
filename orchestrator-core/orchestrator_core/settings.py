"""Every tunable, in one place.

Sources, strongest first: flags (what the caller passes), environment, YAML file,
defaults. `orchestrator.example.yaml` documents each key and a test keeps the two equal.
`Config` is the same class under the name the Python examples use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from orchestrator_core.errors import ConfigurationError
from orchestrator_core.generation import ChatSampling
from orchestrator_core.settings_sources import ENVIRONMENT, Flags, Variables, YamlFile, explain
from orchestrator_core.web_origin import WEB_SCHEMES, WebOrigin, parse_pattern

__all__ = [
    "BUILTIN_MODEL",
    "ENVIRONMENT",
    "HF_SEED_MODEL",
    "Config",
    "Settings",
    "default_config_file",
    "default_data_folder",
    "load_settings",
]

BACKENDS = ("auto", "llama_cpp", "transformers", "openai")
BUILTIN_MODEL = "builtin"
"""`model.path` value that means the small model shipped with this repository."""

HF_SEED_MODEL = "mistralai/Mistral-7B-Instruct-v0.2"
"""The Hugging Face model the `transformers` backend uses when none is named."""


def _words(value: Any) -> Any:
    """`"a, b"` as a list, so that one environment variable or flag can hold several."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _number(value: Any) -> Any:
    """Digits as an integer: a Literal of numbers does not convert by itself."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _home(value: str) -> str:
    return str(Path(value).expanduser()) if value.startswith("~") else value


def _backend(text: str) -> str:
    if text not in BACKENDS and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", text):
        raise ValueError(f"use {', '.join(BACKENDS)}, or module:function for a backend of your own")
    return text


def _origins(values: list[str]) -> list[str]:
    for value in values:
        parse_pattern(value)
    return values


def _plain_origins(values: list[str]) -> list[str]:
    for value in values:
        if WebOrigin.parse(value).scheme not in WEB_SCHEMES or "*" in value:
            raise ValueError("name each push service as http(s)://host[:port]")
    return values


Words = Annotated[list[str], NoDecode, BeforeValidator(_words)]
Location = Annotated[str, AfterValidator(_home)]
Folder = Annotated[Path, AfterValidator(Path.expanduser)]


class SettingsSection(BaseModel):
    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, protected_namespaces=(), hide_input_in_errors=True
    )


class ModelSettings(SettingsSection):
    """Which model answers, and through which backend."""

    path: Location = Field(BUILTIN_MODEL, min_length=1)
    """`builtin`, a GGUF file, a Hugging Face folder or id, or a remote model's name."""
    backend: Annotated[str, AfterValidator(_backend)] = "auto"
    """One of `BACKENDS`, or `module:function`, which is given the settings and returns a `ChatBackend`."""
    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    context_length: int | None = Field(None, ge=64, le=10_000_000)
    url: str | None = None
    """Base URL (ending in /v1) of the `openai` backend."""
    api_key: SecretStr | None = None
    connect_timeout_s: float = Field(5.0, gt=0)
    read_timeout_s: float = Field(120.0, gt=0)


class QuantizationSettings(SettingsSection):
    """bitsandbytes quantisation of the `transformers` backend."""

    enabled: bool = False
    load_in_bits: Annotated[Literal[4, 8], BeforeValidator(_number)] = 4
    double_quantization: bool = True


class LoraSettings(SettingsSection):
    """LoRA adapter attached to the base model."""

    enabled: bool = False
    path: Location | None = None
    rank: int = Field(16, ge=1, le=1024)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.05, ge=0.0, lt=1.0)
    target_modules: Words = Field(default_factory=lambda: ["q_proj", "v_proj"])


class EngineSettings(SettingsSection):
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


class ServerSettings(SettingsSection):
    """HTTP."""

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(5000, ge=0, le=65535)
    api_key: SecretStr | None = None
    allowed_hosts: Words = Field(default_factory=list)
    allowed_origins: Annotated[Words, AfterValidator(_origins)] = Field(default_factory=list)
    """Web pages and browser extensions that may call, besides the server's own page."""
    max_body_bytes: int = Field(2 * 1024 * 1024, ge=1024)
    max_message_chars: int = Field(200_000, ge=1)
    threads: int = Field(48, ge=2, le=1024)
    advertise: bool = True
    """Let phones in the networks at home find the server (multicast DNS), when it listens beyond loopback."""


class ContextSettings(SettingsSection):
    """The handoff documents and how much of the window they may take."""

    folder: Folder | None = None
    """Default: `context/` in the data folder."""
    project: str | None = None
    """Subfolder of the active project; None: the three documents lie beside the portfolio."""
    share: float = Field(0.35, ge=0.0, le=0.9)
    """Part of the window that all documents together may use."""
    retrieval_share: float | None = Field(None, ge=0.0, le=0.5)
    """Part of the window for passages found elsewhere in the memory; None: a quarter of it, 2000
    tokens at most. 0 turns it off."""
    embeddings: Location | None = "static"
    """Search by meaning too: `static` (the vectors of `wordllama`, where it is installed), `encoder` (a small
    multilingual model, `orchestrator install encoder`), a GGUF file of an embedding model, or `engine`; None: by
    words only."""
    system_prompt: str | None = None


class HandoffSettings(SettingsSection):
    """Ending a session."""

    model: Literal["auto", "always", "never"] = "auto"
    """Whether the answering model proposes items: `auto` asks one with a window of 4096 tokens or more that
    is not the built-in one."""


class RelaySettings(SettingsSection):
    """The connection between desktop and VPS, and when one answers for the other."""

    heartbeat_s: float = Field(2.0, gt=0, le=60)
    silence_s: float = Field(6.0, gt=0, le=600)
    """Without a sign of life for so long, the other side is taken for lost."""
    answer_timeout_s: float = Field(30.0, gt=0)
    """How long to wait for the other tier to begin its answer (it may have to load its model)."""
    overflow_queue: int | None = Field(None, ge=0, le=10_000)
    """With more answers than this waiting at one tier, another one is asked; None: never."""
    settle_s: float = Field(10.0, ge=0, le=3600)
    """A connection that was lost more than once within a minute must hold so long to be used again."""
    better_later: bool = False
    """Have the desktop answer again, when it is back, what the VPS answered in its place."""
    extra_desktops: Literal["refuse", "serve"] = "refuse"
    """What becomes of a second desktop that enrols: only one can be the source of truth."""
    max_streams: int = Field(256, ge=1, le=4096)
    """Requests under way at once through one relay connection."""


class PushSettings(SettingsSection):
    """Messages to devices whose owner is not looking."""

    contact: str = Field("mailto:owner@example.org", pattern=r"^(mailto:|https://)[\x21-\x7e]{3,200}$")
    """How a push service can reach whoever runs this server (RFC 8292)."""
    local_services: Annotated[Words, AfterValidator(_plain_origins)] = Field(default_factory=list)
    """Origins of push services that may lie at private addresses, and without TLS."""


class JobSettings(SettingsSection):
    """Trainings and evaluations in the background."""

    idle_s: float = Field(5.0, ge=0.0, le=86_400)
    """A question pauses a training at the end of its step; it goes on when nobody asked for so many seconds."""


class PhoneSettings(SettingsSection):
    """This machine as a phone of the household (`orchestrator phone`)."""

    own_model_first: bool = False
    """Answer short questions on this device, if it has a model, even when a server is there."""
    simple_chars: int = Field(200, ge=1, le=10_000)
    """How long a question may be to count as short."""


class LogSettings(SettingsSection):
    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "INFO"
    max_bytes: int = Field(5 * 1024 * 1024, ge=10_000)
    backups: int = Field(3, ge=0, le=100)


class Settings(BaseSettings):
    """All sections. Build it with `load_settings`; plain `Settings()` is the defaults.

    Assignments are validated (`settings.generation.temperature = 9` is refused with pydantic's
    ValidationError), and no value appears in a validation error, because it may be a secret.
    """

    model_config = SettingsConfigDict(
        extra="forbid", validate_assignment=True, protected_namespaces=(), hide_input_in_errors=True
    )

    data: Folder = Field(default_factory=lambda: default_data_folder())
    model: ModelSettings = Field(default_factory=ModelSettings)
    generation: ChatSampling = Field(default_factory=ChatSampling)
    quantization: QuantizationSettings = Field(default_factory=QuantizationSettings)
    lora: LoraSettings = Field(default_factory=LoraSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)
    context: ContextSettings = Field(default_factory=ContextSettings)
    handoff: HandoffSettings = Field(default_factory=HandoffSettings)
    relay: RelaySettings = Field(default_factory=RelaySettings)
    push: PushSettings = Field(default_factory=PushSettings)
    jobs: JobSettings = Field(default_factory=JobSettings)
    phone: PhoneSettings = Field(default_factory=PhoneSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @property
    def context_folder(self) -> Path:
        return self.context.folder or self.data / "context"

    @property
    def models_folder(self) -> Path:
        """Where `orchestrator models` looks for GGUF files."""
        return self.data / "models"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only `load_settings` reads the surroundings: it names its sources in `_SOURCES`."""
        return (init_settings, *_SOURCES.get())


Config = Settings

_SOURCES: ContextVar[tuple[PydanticBaseSettingsSource, ...]] = ContextVar("settings_sources", default=())


def default_data_folder() -> Path:
    """`$XDG_DATA_HOME/orchestrator`, by default `~/.local/share/orchestrator`."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "orchestrator"


def default_config_file() -> Path:
    """`$XDG_CONFIG_HOME/orchestrator/orchestrator.yaml`."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "orchestrator" / "orchestrator.yaml"


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
        environ: environment variables; default `os.environ`. The names are those of
            `ENVIRONMENT`, or `ORCHESTRATOR_<SECTION>__<KEY>` for any other setting.
        overrides: dotted names to values, from flags (`{"server.port": 5055}`); None values
            are ignored.

    Raises:
        ConfigurationError: unknown key, wrong value, unreadable file; the message names the
            source, the key and the value (never the value of a key).
    """
    environ = os.environ if environ is None else environ
    flags = Flags(Settings, overrides or {})
    variables = Variables(Settings, environ)
    yaml_file = YamlFile(Settings, _config_file(file, environ))
    token = _SOURCES.set((flags, variables, yaml_file))
    try:
        return Settings()
    except ValidationError as error:
        problem = explain(error, Settings, (flags, variables, yaml_file))
    finally:
        _SOURCES.reset(token)
    # Raised outside the handler: pydantic's error carries the input, which may hold a key.
    raise ConfigurationError(problem, hint="orchestrator.example.yaml lists every key with its values.")


def _config_file(file: Path | None, environ: Mapping[str, str]) -> Path | None:
    if file is None and environ.get("ORCHESTRATOR_CONFIG"):
        file = Path(environ["ORCHESTRATOR_CONFIG"])
    if file is not None:
        file = file.expanduser()
        if not file.is_file():
            raise ConfigurationError(
                f"The configuration file {str(file)!r} does not exist.",
                hint="Copy orchestrator.example.yaml there, or name another file.",
            )
        return file
    default = default_config_file()
    return default if default.is_file() else None
