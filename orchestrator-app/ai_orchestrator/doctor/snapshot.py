"""What the probes saw. Plain values: sizes in bytes, times in seconds; None is unknown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class PythonSeen:
    version: tuple[int, int, int]
    executable: str


@dataclass(frozen=True, slots=True)
class ConfigurationSeen:
    """
    Args:
        file: the configuration file that was read.
        file_mode: its permission bits.
        holds_key: an API key stands in the file.
        unknown_variables: ORCHESTRATOR_* names that nothing reads.
        problem: why the settings cannot be loaded; everything else was looked at with defaults.
    """

    file: Path | None = None
    file_mode: int | None = None
    holds_key: bool = False
    unknown_variables: tuple[str, ...] = ()
    problem: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class EngineSeen:
    """llama.cpp.

    Args:
        version: of llama-cpp-python; None: not installed.
        proved_with: the model it decoded in a child process; None: there was none to try with.
        problem: why it did not decode.
        tokens_per_s: speed of that decoding.
        gpu_offload: whether it was built for a GPU.
    """

    version: str | None
    proved_with: str | None = None
    problem: str | None = None
    tokens_per_s: float | None = None
    gpu_offload: bool | None = None


@dataclass(frozen=True, slots=True)
class ModelSeen:
    """
    Args:
        name: `model.path` of the settings.
        backend: what runs it; "" when nothing can.
        opens: a child process opened it; None: not tried.
        downloaded: a Hugging Face id that is in the local cache; None: not such an id.
        problem: why it cannot be used.
    """

    name: str
    backend: str
    path: Path | None = None
    size: int | None = None
    opens: bool | None = None
    context_length: int | None = None
    downloaded: bool | None = None
    problem: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingsSeen:
    """
    Args:
        chosen: `context.embeddings` of the settings; None: search goes by words alone.
        width: numbers of a vector that it made.
        pooling: how it makes one of all its tokens' vectors.
        assumed: the file does not say how, so it was hardly made for embeddings.
        problem: why it cannot be used.
    """

    chosen: str | None = None
    width: int | None = None
    pooling: str = ""
    assumed: bool = False
    problem: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class MemorySeen:
    total: int
    available: int


@dataclass(frozen=True, slots=True)
class GpuSeen:
    """
    Args:
        names: the GPUs found.
        reason: why none was found, or how they were.
    """

    names: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class PortSeen:
    host: str
    port: int
    state: Literal["free", "ours", "taken", "unusable"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ExposureSeen:
    """
    Args:
        refusal: why the server would refuse to start on this address.
        key_length: characters of the API key; None: there is none.
    """

    host: str
    loopback: bool
    key_length: int | None
    refusal: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class DataFolderSeen:
    """
    Args:
        mode: permission bits; None: the folder does not exist yet.
        problem: why nothing can be written there.
        free: bytes left on its disk.
        server: address of the server that holds it.
    """

    path: Path
    mode: int | None
    problem: str | None
    free: int | None
    server: str | None = None


@dataclass(frozen=True, slots=True)
class StoreSeen:
    """
    Args:
        version: of its schema; `newest` is the one this program writes.
    """

    name: str
    state: Literal["absent", "current", "older", "future", "damaged"]
    version: int | None = None
    newest: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class MachineSnapshot:
    python: PythonSeen
    configuration: ConfigurationSeen
    engine: EngineSeen
    model: ModelSeen
    memory: MemorySeen
    gpu: GpuSeen
    port: PortSeen
    exposure: ExposureSeen
    data: DataFolderSeen
    stores: tuple[StoreSeen, ...]
    embeddings: EmbeddingsSeen = EmbeddingsSeen()
