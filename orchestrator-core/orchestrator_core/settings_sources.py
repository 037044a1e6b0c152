"""Where settings come from: flags, environment variables, the YAML file.

Reading and merging is pydantic-settings' work. What is added here: the short and the
older names of environment variables, and the ability to say which source gave a value.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    YamlConfigSettingsSource,
)

from orchestrator_core.errors import ConfigurationError

PREFIX = "ORCHESTRATOR_"

ENVIRONMENT: dict[str, str] = {
    "ORCHESTRATOR_DATA": "data",
    "ORCHESTRATOR_HOST": "server.host",
    "ORCHESTRATOR_PORT": "server.port",
    "ORCHESTRATOR_API_KEY": "server.api_key",
    "ORCHESTRATOR_ALLOWED_HOSTS": "server.allowed_hosts",
    "ORCHESTRATOR_ALLOWED_ORIGINS": "server.allowed_origins",
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

SECRETS = frozenset({"server.api_key", "model.api_key"})
SHOWN_CHARACTERS = 80


class SettingOrigin(Protocol):
    """A source that can say where it has a setting from."""

    def origin(self, dotted: str) -> str | None:
        """In words for the user, or None when this source does not hold the setting."""

    def value(self, dotted: str) -> Any:
        """The value as it was given."""


class Flags(InitSettingsSource):
    """Dotted names from flags or a calling program; None means not given."""

    def __init__(self, settings_cls: type[BaseSettings], overrides: Mapping[str, Any]) -> None:
        self.given = {dotted: value for dotted, value in overrides.items() if value is not None}
        tree: dict[str, Any] = {}
        for dotted, value in self.given.items():
            *sections, leaf = dotted.split(".")
            branch = tree
            for section in sections:
                branch = branch.setdefault(section, {})
            branch[leaf] = value
        super().__init__(settings_cls, tree)

    def origin(self, dotted: str) -> str | None:
        return "command line" if dotted in self.given else None

    def value(self, dotted: str) -> Any:
        return self.given[dotted]


class Variables(EnvSettingsSource):
    """Environment: the names of `ENVIRONMENT`, and `ORCHESTRATOR_<SECTION>__<KEY>`.

    Both are brought to the second form, which pydantic-settings reads by itself. For two
    names of one setting: short ORCHESTRATOR_*, then the long form, then LLM_*.
    Empty variables count as absent.
    """

    def __init__(self, settings_cls: type[BaseSettings], environ: Mapping[str, str]) -> None:
        self.given: dict[str, tuple[str, str]] = {}
        for name, dotted in self._by_strength(environ):
            if environ[name] != "":
                self.given[dotted] = (name, environ[name])
        super().__init__(settings_cls, env_prefix=PREFIX, env_nested_delimiter="__")

    @staticmethod
    def _by_strength(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Weakest first: (variable, dotted name)."""
        older = {name: dotted for name, dotted in ENVIRONMENT.items() if name.startswith("LLM_")}
        yield from ((name, dotted) for name, dotted in older.items() if name in environ)
        for name in environ:
            if name.startswith(PREFIX) and "__" in name and name not in ENVIRONMENT:
                yield name, name.removeprefix(PREFIX).lower().replace("__", ".")
        yield from (
            (name, dotted) for name, dotted in ENVIRONMENT.items() if name in environ and name not in older
        )

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {
            f"{PREFIX}{dotted.replace('.', '__')}".lower(): text for dotted, (_, text) in self.given.items()
        }

    def __call__(self) -> dict[str, Any]:
        """pydantic-settings ignores sections it does not know; a misspelt one must not pass."""
        for dotted, (name, _) in self.given.items():
            if dotted.partition(".")[0] not in self.settings_cls.model_fields:
                raise ConfigurationError(
                    f"There is no setting {dotted!r} (environment variable {name})."
                    f"{_did_you_mean(dotted, self.settings_cls)}"
                )
        return super().__call__()

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Text that is no JSON is left to the validation, whose message names the variable."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value

    def origin(self, dotted: str) -> str | None:
        return f"environment variable {self.given[dotted][0]}" if dotted in self.given else None

    def value(self, dotted: str) -> Any:
        return self.given[dotted][1]


class YamlFile(YamlConfigSettingsSource):
    """The configuration file. A section with nothing in it counts as absent.

    Raises:
        ConfigurationError: the file cannot be read or is not a mapping.
    """

    def __init__(self, settings_cls: type[BaseSettings], file: Path | None) -> None:
        self.file = file
        super().__init__(settings_cls, yaml_file=file, yaml_file_encoding="utf-8")

    def _read_file(self, path: Any) -> dict[str, Any]:
        try:
            content = super()._read_file(path)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigurationError(
                f"Cannot read the configuration file {str(path)!r}: {_one_line(error)}"
            ) from None
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise ConfigurationError(
                f"The configuration file {str(path)!r} must hold keys and values, like `server:`."
            )
        return {key: value for key, value in content.items() if value is not None}

    def origin(self, dotted: str) -> str | None:
        return f"file {str(self.file)!r}" if _lookup(self.yaml_data, dotted)[0] else None

    def value(self, dotted: str) -> Any:
        return _lookup(self.yaml_data, dotted)[1]


def explain(
    error: ValidationError,
    settings_cls: type[BaseModel],
    sources: Sequence[SettingOrigin | PydanticBaseSettingsSource],
) -> str:
    """The first problem in one sentence: setting, source, value, and what is allowed.

    The value of a secret, of an unknown key (it may be a misspelt secret) and of anything
    that is not a plain scalar is left out.
    """
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    key, known = _field_path(settings_cls, first["loc"])
    source = _source_of(key, sources)
    where = f" ({source.origin(key)})" if source else ""
    if first["type"] == "extra_forbidden":
        return f"There is no setting {key!r}{where}.{_did_you_mean(key, settings_cls)}"
    allowed = dict.fromkeys(
        problem["msg"] for problem in problems if _field_path(settings_cls, problem["loc"])[0] == key
    )
    shown = _shown(source.value(key)) if source and known and key not in SECRETS else ""
    return f"The setting {key!r}{where} is not valid: {', or: '.join(allowed)}{shown}."


def _source_of(key: str, sources: Sequence[Any]) -> Any:
    return next((source for source in sources if source.origin(key)), None)


def _field_path(settings_cls: type[BaseModel], loc: Sequence[int | str]) -> tuple[str, bool]:
    """The dotted setting a pydantic location lies in, and whether that is a leaf.

    Locations go deeper than settings: list positions, the branch of a union.
    """
    model: Any = settings_cls
    path: list[str] = []
    for part in loc:
        path.append(str(part))
        field = model.model_fields.get(part)
        if field is None:
            return ".".join(path), False
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            return ".".join(path), True
    return ".".join(path), False


def _lookup(tree: Any, dotted: str) -> tuple[bool, Any]:
    for part in dotted.split("."):
        if not isinstance(tree, dict) or part not in tree:
            return False, None
        tree = tree[part]
    return True, tree


def _shown(value: Any) -> str:
    if not isinstance(value, str | int | float | bool):
        return ""
    text = repr(value)
    return f" (given: {text[:SHOWN_CHARACTERS]}{'…' if len(text) > SHOWN_CHARACTERS else ''})"


def _did_you_mean(key: str, settings_cls: type[BaseModel]) -> str:
    near = difflib.get_close_matches(key, list(setting_names(settings_cls)), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def setting_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every setting's dotted name, leaves only."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from setting_names(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
