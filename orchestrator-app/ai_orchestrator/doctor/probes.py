"""Looks at the machine. Nothing is changed; what cannot be found out is told, never raised."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import platform
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from orchestrator_core.backends.factory import choose_backend, create_backend
from orchestrator_core.backends.model_files import (
    builtin_folders,
    find_builtin,
    find_local,
    resolve_model_path,
)
from orchestrator_core.backends.registered import in_force, reference_of
from orchestrator_core.errors import ConfigurationError, OrchestratorError
from orchestrator_core.models.memory import main_memory
from orchestrator_core.settings import ENVIRONMENT, Settings, default_config_file
from orchestrator_http.access.keys import refuse_open_bind
from orchestrator_http.access.origins import is_loopback
from shared_context.child_environment import child_environment
from shared_context.errors import SharedContextError
from shared_context.retrieval.encoder import Encoder
from shared_context.retrieval.static_vectors import StaticEmbedder
from shared_context.storage.migrate import Migration, check_openable

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

PROOF_TIMEOUT_S = 120
PROOF_MAX_BYTES = 1024**3
"""A larger model is opened, but not decoded with: that would take minutes of loading."""


def look(settings: Settings, configuration: ConfigurationSeen) -> MachineSnapshot:
    """Everything the checks need; takes a few seconds, most of them for the engine's proof."""
    model = see_model(settings)
    data = see_data(settings)
    return MachineSnapshot(
        python=PythonSeen(sys.version_info[:3], sys.executable),
        configuration=configuration,
        engine=see_engine(model),
        model=model,
        memory=see_memory(),
        gpu=see_gpu(),
        port=see_port(settings, data.server),
        exposure=see_exposure(settings),
        data=data,
        stores=see_stores(settings.data),
        embeddings=see_embeddings(settings),
    )


def see_configuration(
    file: Path | None, environ: Mapping[str, str], problem: ConfigurationError | None
) -> ConfigurationSeen:
    """
    Args:
        file: the one named by a flag.
        problem: what loading the settings raised.
    """
    if file is None:
        named = environ.get("ORCHESTRATOR_CONFIG")
        file = Path(named).expanduser() if named else default_config_file()
    text, mode = None, None
    with contextlib.suppress(OSError, UnicodeDecodeError):
        text, mode = file.read_text("utf-8"), stat.S_IMODE(file.stat().st_mode)
    return ConfigurationSeen(
        file=file if text is not None else None,
        file_mode=mode,
        holds_key=text is not None and _holds_key(text),
        unknown_variables=unknown_variables(environ),
        problem=None if problem is None else problem.message,
        hint=None if problem is None else problem.hint,
    )


def unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """ORCHESTRATOR_* and LLM_* names that set nothing (the long form is checked by the settings)."""
    known = {*ENVIRONMENT, "ORCHESTRATOR_CONFIG"}
    ours = (name for name in environ if name.startswith("ORCHESTRATOR_") and "__" not in name)
    return tuple(sorted(name for name in ours if name not in known))


def see_engine(model: ModelSeen) -> EngineSeen:
    if importlib.util.find_spec("llama_cpp") is None:
        return EngineSeen(None)
    version = importlib.metadata.version("llama-cpp-python")
    proof = _model_for_proof(model)
    if proof is None:
        return EngineSeen(version)
    proof_result = _in_child("decode", proof)
    if isinstance(proof_result, str):
        return EngineSeen(version, proof.name, proof_result)
    return EngineSeen(version, proof.name, None, proof_result["tokens_per_s"], proof_result["gpu_offload"])


def see_model(settings: Settings) -> ModelSeen:
    name, backend = settings.model.path, ""
    try:
        name = reference_of(settings) or name
        settings = in_force(settings)
        backend = choose_backend(settings).value
        if backend == "openai":
            with closing(create_backend(settings)) as remote:
                remote.load()
            return ModelSeen(name, backend)
        if backend != "llama_cpp":
            _check_extra(backend)
            return ModelSeen(name, backend, downloaded=_is_downloaded(settings, backend))
        path = resolve_model_path(settings)
    except OrchestratorError as error:
        return ModelSeen(name, backend, problem=error.message, hint=error.hint)
    size = path.stat().st_size
    if importlib.util.find_spec("llama_cpp") is None:
        return ModelSeen(name, backend, path, size)
    opened = _in_child("open", path)
    if isinstance(opened, str):
        problem = f"{path} does not open: {opened}"
        return ModelSeen(name, backend, path, size, False, problem=problem, hint="Use another file.")
    if "message" in opened:
        return ModelSeen(name, backend, path, size, False, problem=opened["message"], hint=opened["hint"])
    if opened["reads_only"]:
        problem = f"{path} writes no text: it makes embeddings."
        hint = "Set model.path to a chat model. An embedding model is for context.embeddings."
        return ModelSeen(name, backend, path, size, True, problem=problem, hint=hint)
    return ModelSeen(name, backend, path, size, True, opened["context_length"])


def see_embeddings(settings: Settings) -> EmbeddingsSeen:
    """A model of its own makes a vector, in a process that may crash."""
    from orchestrator_core.assistant.embedding import ENCODER, ENGINE, STATIC
    from orchestrator_core.backends.gguf_embedder import GgufEmbedder

    chosen = settings.context.embeddings
    if chosen is None:
        return EmbeddingsSeen()
    if chosen == ENGINE:
        return EmbeddingsSeen(chosen)
    if chosen == STATIC:
        static = StaticEmbedder.installed()
        return EmbeddingsSeen() if static is None else _packaged(chosen, static)
    if chosen == ENCODER:
        with closing(Encoder()) as encoder:
            return _packaged(chosen, encoder)
    with closing(GgufEmbedder(Path(chosen).expanduser(), settings)) as embedder:
        try:
            details = embedder.details()
            (vector,) = embedder.embed(["Does it work?"])
        except OrchestratorError as error:
            return EmbeddingsSeen(chosen, problem=error.message, hint=error.hint)
    return EmbeddingsSeen(chosen, len(vector), details["pooling"], details["pooling_assumed"])


def _packaged(chosen: str, embedder: StaticEmbedder | Encoder) -> EmbeddingsSeen:
    try:
        return EmbeddingsSeen(chosen, len(embedder.embed(["Does it work?"])[0]), "mean")
    except SharedContextError as error:
        return EmbeddingsSeen(chosen, problem=error.message, hint=error.hint)


def see_memory() -> MemorySeen:
    memory = main_memory()
    return MemorySeen(memory.total, memory.available)


def see_gpu() -> GpuSeen:
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return GpuSeen(("Apple GPU",), "Metal")
    tool = shutil.which("nvidia-smi")
    if tool is None:
        if Path("/dev/nvidia0").exists():
            return GpuSeen((), "there is an NVIDIA device, but nvidia-smi is not installed")
        return GpuSeen((), "no nvidia-smi, so no NVIDIA driver")
    try:
        result = subprocess.run(  # noqa: S603
            [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=10, check=False, env=child_environment(),
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return GpuSeen((), f"nvidia-smi does not answer ({type(error).__name__})")
    names = tuple(line.strip() for line in result.stdout.splitlines() if line.strip())
    if result.returncode or not names:
        reason = (result.stdout + result.stderr).strip().splitlines()[:1] or ["nvidia-smi lists none"]
        return GpuSeen((), reason[0])
    return GpuSeen(names, "nvidia-smi")


def see_port(settings: Settings, server: str | None) -> PortSeen:
    from orchestrator_core.errors import PortInUse
    from orchestrator_http.binding import bind, close_all

    host, port = settings.server.host, settings.server.port
    if server is not None:
        return PortSeen(host, port, "ours", server)
    try:
        sockets = bind(host, port)
    except PortInUse as error:
        return PortSeen(host, port, "taken", error.message)
    except ConfigurationError as error:
        return PortSeen(host, port, "unusable", error.message)
    close_all(sockets)
    return PortSeen(host, port, "free")


def see_exposure(settings: Settings) -> ExposureSeen:
    server = settings.server
    key = server.api_key
    refusal: ConfigurationError | None = None
    try:
        refuse_open_bind(server)
    except ConfigurationError as error:
        refusal = error
    return ExposureSeen(
        host=server.host,
        loopback=is_loopback(server.host),
        key_length=None if key is None else len(key.get_secret_value()),
        refusal=None if refusal is None else refusal.message,
        hint=None if refusal is None else refusal.hint,
    )


def see_data(settings: Settings) -> DataFolderSeen:
    from ai_orchestrator.cli.link.server import running_server

    path = settings.data.expanduser().absolute()
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    free: int | None = None
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(existing).free
    link = running_server(settings)
    if link is not None:
        link.close()
    return DataFolderSeen(
        path=path,
        mode=stat.S_IMODE(path.stat().st_mode) if path.exists() else None,
        problem=_cannot_write(existing),
        free=free,
        server=None if link is None else link.where,
    )


def see_stores(data: Path) -> tuple[StoreSeen, ...]:
    from orchestrator_core.runs.store import MIGRATIONS as RUNS
    from shared_context.conversations.migrations import MIGRATIONS as MEMORY

    return (_see_store(data / "memory.db", MEMORY), _see_store(data / "runs.db", RUNS))


def _see_store(path: Path, migrations: Any) -> StoreSeen:
    newest = len(migrations)
    if not path.exists():
        return StoreSeen(path.name, "absent", newest=newest)
    return _see_existing(path, list(migrations), newest)


def _see_existing(path: Path, migrations: list[Migration], newest: int) -> StoreSeen:
    try:
        # Read-only, so that looking at a file cannot change it.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > newest:
                return StoreSeen(path.name, "future", version, newest)
            check_openable(path, migrations)
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return StoreSeen(path.name, "damaged", newest=newest, detail=str(error))
    except SharedContextError as error:
        return StoreSeen(path.name, "damaged", newest=newest, detail=error.message)
    if verdict != "ok":
        return StoreSeen(path.name, "damaged", version, newest, verdict)
    return StoreSeen(path.name, "current" if version == newest else "older", version, newest)


def _cannot_write(folder: Path) -> str | None:
    if not folder.is_dir():
        return f"{folder} is not a folder"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        return f"nothing can be written ({error.strerror or error})"
    return None


def _holds_key(text: str) -> bool:
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    values = (line.partition(":")[2].strip() for line in lines if line.startswith("api_key"))
    return any(value not in ("", "null", "~") for value in values)


def _check_extra(backend: str) -> None:
    """
    Raises:
        MissingExtra: the packages of this backend are not installed.
    """
    from orchestrator_core.errors import MissingExtra

    if backend == "transformers":
        for package in ("torch", "transformers"):
            if importlib.util.find_spec(package) is None:
                raise MissingExtra(package, "hf", "A Hugging Face model")


def _is_downloaded(settings: Settings, backend: str) -> bool | None:
    """Whether the Hugging Face id's files are in the local cache; None for a local folder."""
    if backend != "transformers" or find_local(settings) is not None:
        return None
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(settings.model.path, "config.json"), str)


def _model_for_proof(model: ModelSeen) -> Path | None:
    with contextlib.suppress(OrchestratorError):
        return find_builtin(builtin_folders())
    if model.path is not None and model.opens and (model.size or 0) <= PROOF_MAX_BYTES:
        return model.path
    return None


def _in_child(action: str, path: Path) -> dict[str, Any] | str:
    """What `prove` found, or why it ended without a result."""
    command = [sys.executable, "-m", "ai_orchestrator.doctor.prove", action, str(path)]
    try:
        result = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            timeout=PROOF_TIMEOUT_S,
            check=False,
            env=child_environment({"PYTHONWARNINGS": "ignore"}),
        )
    except subprocess.TimeoutExpired:
        return f"no result within {PROOF_TIMEOUT_S} s"
    if result.returncode < 0:
        return f"the process crashed with {signal.Signals(-result.returncode).name}"
    if result.returncode:
        return (result.stderr.strip().splitlines() or ["unknown failure"])[-1]
    try:
        seen = json.loads(result.stdout)
    except ValueError:
        return "it gave no result"
    return dict(seen)
