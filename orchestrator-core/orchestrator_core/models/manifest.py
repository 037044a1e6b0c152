"""What stands in a version's `manifest.json`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from orchestrator_core.errors import InvalidRequest

MANIFEST_FILE = "manifest.json"
HF_CONFIG = "config.json"
MAX_FILES = 500
MEMORY_FACTOR = 1.3
"""Memory that an answering model takes, by the size of its files: weights, a window, and the process."""

TIER_MEMORY_BYTES = {"phone": 4 << 30, "vps": 8 << 30}
"""Of usual machines. The desktop is whatever its owner has."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.(gguf|safetensors)")


def _file_name(text: str) -> str:
    if text.lower() == MANIFEST_FILE:
        raise ValueError(f"{MANIFEST_FILE} is the manifest's own name")
    return text


Name = Annotated[str, Field(pattern=f"^{_NAME.pattern}$")]
"""Of a model or a version. In lower case, for file systems that know no other."""

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$"), AfterValidator(_file_name)]
"""Of a file: no folder, nothing hidden."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ModelFile(BaseModel):
    """
    Args:
        size: bytes.
    """

    model_config = ConfigDict(frozen=True)

    size: int = Field(ge=0)
    sha256: Sha256


class ModelManifest(BaseModel):
    """One version of a model.

    Args:
        base: reference of the model that this adapter belongs to, or `builtin`; None: a whole model.
        base_sha256: of the base's main file.
        source: where it came from: a run's folder, a hub's repository.
        dataset_sha256, recipe, metrics, parity: of a trained model, as training, evaluation and export wrote them.
        created_at: ISO 8601, UTC.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    name: Name
    version: Name
    files: dict[FileName, ModelFile] = Field(min_length=1, max_length=MAX_FILES)
    base: str | None = Field(None, max_length=200)
    base_sha256: Sha256 | None = None
    source: str = Field("", max_length=2000)
    licence: str = Field("", max_length=200)
    dataset_sha256: Sha256 | None = None
    recipe: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    parity: dict[str, Any] = Field(default_factory=dict)
    created_at: str = Field("", max_length=40)

    @property
    def reference(self) -> str:
        return f"{self.name}:{self.version}"

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())

    @property
    def main_file(self) -> str | None:
        """The GGUF file that is loaded, the first part of a split one; None: the folder is, as Hugging Face's are.

        Raises:
            InvalidRequest: the files are not those of one model.
        """
        gguf = [name for name in self.files if name.lower().endswith(".gguf")]
        first = [name for name in gguf if (part := _SHARD.fullmatch(name)) is None or int(part[2]) == 1]
        if not gguf and (HF_CONFIG in self.files or "adapter_config.json" in self.files):
            return None
        if len(first) != 1:
            held = ", ".join(sorted(first)) or "none"
            raise InvalidRequest(
                f"{self.reference} must hold one GGUF file, or a Hugging Face model; it holds {held}.",
                hint="Name the file, not its folder.",
            )
        return first[0]

    @property
    def tiers(self) -> list[str]:
        """The tiers on whose usual machines it fits."""
        needed = self.size * MEMORY_FACTOR
        return ["desktop", *(tier for tier, memory in TIER_MEMORY_BYTES.items() if needed <= memory)]

    def check(self) -> None:
        """Whether the files make up one whole model.

        Raises:
            InvalidRequest: a part of a split model is missing, or there is no model among them.
        """
        missing = missing_shards(self.files)
        if missing:
            raise InvalidRequest(
                f"{self.reference} lacks {', '.join(missing)}.", hint="A split model needs all of its parts."
            )
        if self.main_file is None and not any(name.endswith((".safetensors", ".bin")) for name in self.files):
            raise InvalidRequest(f"{self.reference} holds no weights: no *.gguf, *.safetensors or *.bin.")


def missing_shards(names: Iterable[str]) -> list[str]:
    """Parts of split files that these names promise and do not hold."""
    present = set(names)
    shards = [shard for name in present if (shard := _SHARD.fullmatch(name)) is not None]
    promised = {
        f"{shard[1]}-{number:05d}-of-{shard[3]}.{shard[4]}"
        for shard in shards
        for number in range(1, min(int(shard[3]), MAX_FILES) + 1)
    }
    return sorted(promised - present)


def split_reference(reference: str) -> tuple[str, str | None]:
    """`name:version`, or the name alone.

    Raises:
        InvalidRequest: it can be neither.
    """
    name, separator, version = reference.partition(":")
    if not _NAME.fullmatch(name) or (separator and not _NAME.fullmatch(version)):
        raise InvalidRequest(
            f"{reference[:80]!r} names no model.",
            hint="A reference is name:version, of lower-case letters, digits, dots and dashes.",
        )
    return name, version if separator else None


def parse_manifest(text: str | bytes) -> ModelManifest:
    """
    Raises:
        InvalidRequest: it is no manifest.
    """
    try:
        return ModelManifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "it"
        raise InvalidRequest(f"The manifest cannot be used: {place}: {first['msg']}.") from None
