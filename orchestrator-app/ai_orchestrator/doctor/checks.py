"""Judges a snapshot: one function per noun, each with its verdict, its words and its advice. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ai_orchestrator.doctor.snapshot import (
    ConfigurationSeen,
    DataFolderSeen,
    EmbeddingsSeen,
    EngineSeen,
    ExposureSeen,
    GpuSeen,
    MachineSnapshot,
    MemorySeen,
    ModelSeen,
    PortSeen,
    PythonSeen,
    StoreSeen,
)

Verdict = Literal["ok", "warn", "fail"]

OLDEST_PYTHON = (3, 11)
LITTLE_DISK = 1024**3
"""A few thousand conversations and a saved prefix need far less; a model needs more."""
NO_DISK = 100 * 1024**2
HEADROOM = 1.3
"""Memory a model needs, as a multiple of its file: weights, KV cache and buffers."""
SHORT_KEY = 20
"""Characters; below that a key can be guessed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Args:
        check: the noun that was looked at.
        message: what was found.
        advice: what to do; only for warn and fail.
    """

    check: str
    verdict: Verdict
    message: str
    advice: str | None = None


def judge(seen: MachineSnapshot) -> list[Finding]:
    """All findings, in the order in which a person would mend them."""
    return [
        judge_python(seen.python),
        judge_configuration(seen.configuration),
        judge_data(seen.data),
        judge_disk(seen.data),
        *(judge_store(store) for store in seen.stores),
        judge_engine(seen.engine, seen.model),
        judge_model(seen.model),
        judge_embeddings(seen.embeddings),
        judge_memory(seen.memory, seen.model),
        judge_gpu(seen.gpu, seen.engine, seen.model),
        judge_port(seen.port),
        judge_exposure(seen.exposure),
    ]


def judge_python(seen: PythonSeen) -> Finding:
    version = ".".join(map(str, seen.version))
    if seen.version[:2] < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        return Finding(
            "python", "fail", f"Python {version} is too old.", f"Install Python {oldest} or newer."
        )
    return Finding("python", "ok", f"Python {version} at {seen.executable}")


def judge_configuration(seen: ConfigurationSeen) -> Finding:
    if seen.problem is not None:
        return Finding("configuration", "fail", seen.problem, seen.hint)
    where = f"read from {seen.file}" if seen.file else "defaults and environment only"
    if seen.unknown_variables:
        names = ", ".join(seen.unknown_variables)
        return Finding(
            "configuration", "warn", f"Nothing reads the variable {names}.",
            "Correct or remove it; orchestrator.example.yaml names every variable.",
        )  # fmt: skip
    if seen.holds_key and seen.file_mode is not None and seen.file_mode & 0o077:
        return Finding(
            "configuration", "warn", f"{seen.file} holds a key and others can read it.",
            f"Run: chmod 600 {seen.file}",
        )  # fmt: skip
    return Finding("configuration", "ok", where)


def judge_data(seen: DataFolderSeen) -> Finding:
    if seen.problem is not None:
        return Finding(
            "data folder", "fail", f"{seen.path}: {seen.problem}",
            "Mend its owner and permissions, or choose another folder (--data, ORCHESTRATOR_DATA).",
        )  # fmt: skip
    if seen.mode is None:
        return Finding("data folder", "ok", f"{seen.path} will be made at the first start")
    if seen.mode & 0o077:
        return Finding(
            "data folder", "warn", f"Others on this machine can look into {seen.path} (mode {seen.mode:03o}).",
            f"Run: chmod 700 {seen.path}",
        )  # fmt: skip
    held = f", held by the server at {seen.server}" if seen.server else ""
    return Finding("data folder", "ok", f"{seen.path} is writable and private{held}")


def judge_disk(seen: DataFolderSeen) -> Finding:
    if seen.free is None:
        return Finding("disk", "warn", "The free space is unknown.", None)
    message = f"{size(seen.free)} free for {seen.path}"
    if seen.free < NO_DISK:
        return Finding("disk", "fail", message, "Make room, or choose another data folder.")
    if seen.free < LITTLE_DISK:
        return Finding("disk", "warn", message, "Make room soon: when it is full, nothing more is stored.")
    return Finding("disk", "ok", message)


def judge_store(seen: StoreSeen) -> Finding:
    name = f"database {seen.name}"
    match seen.state:
        case "absent":
            return Finding(name, "ok", "will be made at the first start")
        case "current":
            return Finding(name, "ok", f"version {seen.version}, intact")
        case "older":
            message = f"version {seen.version}; the next start brings it to {seen.newest} after making a copy"
            return Finding(name, "ok", message)
        case "future":
            return Finding(
                name, "fail", f"It was written by a newer version of this program ({seen.version}).",
                "Update this program, or choose another data folder. The file was not touched.",
            )  # fmt: skip
        case "damaged":
            return Finding(
                name, "fail", f"It cannot be read: {seen.detail}",
                "Restore it from a backup; `.bak` files beside it are copies from before updates.",
            )  # fmt: skip


def judge_engine(engine: EngineSeen, model: ModelSeen) -> Finding:
    needed = model.backend in ("llama_cpp", "")
    bad: Verdict = "fail" if needed else "warn"
    if engine.version is None:
        return Finding(
            "engine", bad, "llama-cpp-python is not installed.",
            "Run: `orchestrator install gguf`",
        )  # fmt: skip
    if engine.problem is not None:
        return Finding(
            "engine", bad, f"llama.cpp ({engine.version}) does not decode here: {engine.problem}",
            "Run: `orchestrator install gguf`; it picks a build that works on this processor.",
        )  # fmt: skip
    if engine.proved_with is None:
        return Finding(
            "engine", "warn", f"llama.cpp ({engine.version}) is installed, but there is no small model to try it.",
            "Train the built-in model, or put a small GGUF into the models folder.",
        )  # fmt: skip
    speed = f", {engine.tokens_per_s:.0f} tokens/s" if engine.tokens_per_s else ""
    return Finding(
        "engine",
        "ok",
        f"llama.cpp ({engine.version}) decoded with {engine.proved_with} in a child process{speed}",
    )


def judge_model(seen: ModelSeen) -> Finding:
    if seen.problem is not None:
        return Finding(
            "model", "fail", seen.problem, seen.hint or "Name another model with -m or model.path."
        )
    if seen.downloaded is False:
        return Finding(
            "model", "warn", f"{seen.name} is not downloaded yet; a 7B model is about 15 GB.",
            f"Run: hf download {seen.name}   (or let the first start do it)",
        )  # fmt: skip
    if seen.path is None:
        return Finding("model", "ok", f"{seen.name}, through {seen.backend}")
    parts = [seen.name if str(seen.path) == seen.name else f"{seen.name} at {seen.path}"]
    if seen.size is not None:
        parts.append(size(seen.size))
    if seen.context_length:
        parts.append(f"window of {seen.context_length:,} tokens")
    return Finding("model", "ok", ", ".join(parts))


def judge_embeddings(seen: EmbeddingsSeen) -> Finding:
    if seen.chosen is None:
        return Finding("embeddings", "ok", "off: search goes by words")
    if seen.problem is not None:
        return Finding(
            "embeddings", "fail", seen.problem, seen.hint or "Set context.embeddings to another model, or to null."
        )  # fmt: skip
    if seen.chosen == "engine" or seen.assumed:
        return Finding(
            "embeddings", "warn", f"{seen.chosen} was not made for embeddings: search is better by words alone.",
            "Set context.embeddings to an embedding model, such as all-MiniLM-L6-v2 in GGUF, or to null.",
        )  # fmt: skip
    return Finding(
        "embeddings", "ok", f"{seen.chosen} makes vectors of {seen.width} numbers ({seen.pooling})"
    )


def judge_memory(seen: MemorySeen, model: ModelSeen) -> Finding:
    message = f"{size(seen.available)} of {size(seen.total)} available"
    if model.size is None or model.backend != "llama_cpp":
        return Finding("memory", "ok", message)
    needed = int(model.size * HEADROOM)
    message += f"; the model needs about {size(needed)}"
    if needed > seen.total:
        return Finding("memory", "fail", message, "Use a smaller model or a stronger quantisation (Q4_K_M).")
    if needed > seen.available:
        return Finding("memory", "warn", message, "Close other programs, or use a smaller model.")
    return Finding("memory", "ok", message)


def judge_gpu(gpu: GpuSeen, engine: EngineSeen, model: ModelSeen) -> Finding:
    if not gpu.names:
        return Finding("gpu", "ok", f"none found ({gpu.reason}); the CPU answers")
    names = ", ".join(gpu.names)
    if model.backend == "llama_cpp" and engine.gpu_offload is False:
        return Finding(
            "gpu", "warn", f"{names} is not used: llama.cpp was built without GPU support.",
            "Install the CUDA toolkit (nvcc) and run: `orchestrator install gguf`",
        )  # fmt: skip
    return Finding("gpu", "ok", f"{names} ({gpu.reason})")


def judge_port(seen: PortSeen) -> Finding:
    address = f"{seen.host}:{seen.port}"
    match seen.state:
        case "free":
            return Finding("port", "ok", f"{address} is free")
        case "ours":
            return Finding("port", "ok", f"the server answers at {seen.detail}")
        case "taken":
            return Finding(
                "port", "fail", seen.detail, "End that program, or choose another port: `orchestrator serve --port 5055`",
            )  # fmt: skip
        case "unusable":
            return Finding(
                "port", "fail", f"{address} cannot be used: {seen.detail}", "Choose another address."
            )


def judge_exposure(seen: ExposureSeen) -> Finding:
    if seen.refusal is not None:
        return Finding("exposure", "fail", seen.refusal, seen.hint)
    if seen.loopback:
        asked = " and a key is asked for" if seen.key_length else ""
        return Finding("exposure", "ok", f"{seen.host}: reachable from this machine only{asked}")
    if seen.key_length is not None and seen.key_length < SHORT_KEY:
        return Finding(
            "exposure", "warn", f"{seen.host} is reachable from the network and the key is short.",
            'Make a longer one: python -c "import secrets; print(secrets.token_urlsafe(32))"',
        )  # fmt: skip
    return Finding("exposure", "ok", f"{seen.host}: reachable from the network, a key is asked for")


def size(count: int) -> str:
    """Bytes for people."""
    return next(_units(count))


def _units(count: int) -> Iterator[str]:
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            yield f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
