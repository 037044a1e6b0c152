"""Picks the fastest llama.cpp build that proves itself on this machine.

A plain native build crashes where the processor advertises AMX but the host forbids it,
so no build is trusted before it has decoded in a child process. Candidates are tried
from the fastest on; a wheel once built is kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import environment
from console import SetupError, run, say

VERSION = "0.3.36"
"""llama-cpp-python; a test keeps it equal to pyproject.toml."""

SOURCE_SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
"""Of its source package."""

COMMON = ("-DMTMD_BUILD=OFF", "-DLLAVA_BUILD=OFF", "-DLLAMA_BUILD_TOOLS=OFF", "-DLLAMA_CURL=OFF")
"""Leaves out picture input and command-line tools: half of the compile, never used here."""

NO_AMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"

BUILD_NAMES = ("cuda", "native", "portable", "baseline")


@dataclass(frozen=True)
class Machine:
    """What the choice depends on."""

    arch: str
    flags: frozenset[str]
    cuda: bool = False


@dataclass(frozen=True)
class Build:
    """One way to compile llama.cpp, and the sentence that explains it."""

    name: str
    why: str
    cmake: tuple[str, ...]
    wheel: Path | None = None
    """A wheel somebody made elsewhere; nothing is compiled."""


def candidates(machine: Machine) -> list[Build]:
    """Builds worth trying here, fastest first."""
    x86 = machine.arch in ("x86_64", "AMD64")
    builds = []
    no_amx = (f"-DCMAKE_C_FLAGS={NO_AMX}", f"-DCMAKE_CXX_FLAGS={NO_AMX}") if x86 else ()
    native = ("-DGGML_NATIVE=ON", *no_amx)
    if machine.cuda:
        builds.append(Build("cuda", "NVIDIA GPU and CUDA compiler found", ("-DGGML_CUDA=ON", *native)))
    builds.append(Build("native", "uses every instruction set of this processor but AMX", native))
    if not x86 or {"avx2", "fma", "f16c"} <= machine.flags:
        builds.append(Build("portable", "runs on any processor with AVX2", ("-DGGML_NATIVE=OFF",)))
    if x86:
        off = tuple(f"-DGGML_{name}=OFF" for name in ("AVX", "AVX2", "FMA", "F16C", "BMI2"))
        builds.append(Build("baseline", "runs on any 64-bit x86 processor", ("-DGGML_NATIVE=OFF", *off)))
    return builds


def inspect_machine() -> Machine:
    flags: frozenset[str] = frozenset()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        words = next((line.split(":", 1)[1] for line in lines if line.startswith("flags")), "")
        flags = frozenset(words.split())
    cuda = shutil.which("nvcc") is not None and shutil.which("nvidia-smi") is not None
    return Machine(platform.machine(), flags, cuda)


def ensure(
    venv: Path,
    root: Path,
    *,
    wanted: str | None = None,
    wheelhouse: Path | None = None,
    gpu: bool = True,
    build_lock: Path | None = None,
) -> None:
    """Install a proven build, unless one is there.

    Args:
        wanted: the only build to try.
        wheelhouse: folder whose wheel of this version, if it has one, is tried before any compiling.
        gpu: whether the CUDA build may be tried.
        build_lock: what is compiled with, by hashes; None: what llama-cpp-python asks for.

    Raises:
        SetupError: no compiler, or no build works.
    """
    record = venv / "engine.json"
    wanted = wanted or os.environ.get("ENGINE_BUILD") or None
    if wanted is not None and wanted not in BUILD_NAMES:
        raise SetupError(f"ENGINE_BUILD={wanted!r} is not a build", f"Choose one of {', '.join(BUILD_NAMES)}")
    machine = inspect_machine() if gpu else replace(inspect_machine(), cuda=False)
    if _is_current(record, machine, wanted):
        return
    builds = [build for build in candidates(machine) if wanted in (None, build.name)]
    ready = _ready_made(wheelhouse)
    if ready and wanted is None:
        builds.insert(0, ready)
    if not builds:
        raise SetupError(
            f"the build {wanted!r} cannot run on this machine",
            f"Choose one of {', '.join(build.name for build in candidates(machine))}",
        )
    model = _builtin_model(root)
    _need_compiler(builds, machine)
    rejected: list[str] = []
    for build in builds:
        reason = _try(build, venv, root, machine, model, build_lock)
        if reason is None:
            _write_record(record, build, machine, rejected)
            say(f"engine: llama.cpp, {build.name} build ({build.why})")
            return
        rejected.append(f"{build.name}: {reason}")
        say(f"the {build.name} build does not work here ({reason}); trying the next")
    raise SetupError(
        "no llama.cpp build works on this machine: " + "; ".join(rejected),
        f"The compile logs are in {venv}. A ready-made wheel of llama-cpp-python {VERSION} can be "
        "installed with pip instead; then run this again.",
    )


def _ready_made(wheelhouse: Path | None) -> Build | None:
    wheels = sorted(wheelhouse.glob(f"llama_cpp_python-{VERSION}-*.whl")) if wheelhouse else []
    return Build("ready-made", f"{wheels[0].name}, as it was given", (), wheels[0]) if wheels else None


def _builtin_model(root: Path) -> Path:
    models = sorted((root / "fine-tuning" / "builtin").glob("*.gguf"))
    if not models:
        raise SetupError(
            f"the built-in model is missing from {root / 'fine-tuning' / 'builtin'}",
            "The clone is incomplete; fetch it again.",
        )
    return models[0]


def _need_compiler(builds: list[Build], machine: Machine) -> None:
    if any(build.wheel or _cached_wheel(build, machine) for build in builds):
        return
    if not any(shutil.which(compiler) for compiler in ("g++", "clang++", "c++", "cl")):
        raise SetupError(
            "llama.cpp is compiled on this machine, and there is no C++ compiler",
            "On Debian and Ubuntu: sudo apt-get install build-essential",
        )


def _try(
    build: Build, venv: Path, root: Path, machine: Machine, model: Path, build_lock: Path | None
) -> str | None:
    """Build, install and prove; the reason for a failure, or None."""
    try:
        wheel = build.wheel or _cached_wheel(build, machine) or _compile(build, venv, machine, build_lock)
        _install(wheel, venv, root)
    except SetupError as error:
        return str(error)
    return _prove(venv, model)


def _cached_wheel(build: Build, machine: Machine) -> Path | None:
    return next(iter(_wheel_folder(build, machine).glob("*.whl")), None)


def _wheel_folder(build: Build, machine: Machine) -> Path:
    key = json.dumps([VERSION, build.cmake, COMMON, machine.arch, _flags_key(build, machine)])
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return environment.cache() / "wheels" / f"{build.name}-{digest}"


def _flags_key(build: Build, machine: Machine) -> list[str]:
    """A native wheel fits only processors with the same instruction sets."""
    return sorted(machine.flags) if build.name in ("cuda", "native") else []


def _compile(build: Build, venv: Path, machine: Machine, build_lock: Path | None) -> Path:
    say(f"compiling llama.cpp once, {build.name} build: {build.why}; takes 3 to 8 minutes on two cores")
    scratch = venv / f"wheel-{build.name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    python = environment.interpreter(venv)
    log = venv / f"setup-engine-{build.name}.log"
    if build_lock is not None:
        pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
        run(
            [*pip, "--require-hashes", "-r", build_lock], label="installing what it is compiled with", log=log
        )
    source = scratch / "source.txt"
    source.write_text(
        f"llama-cpp-python=={VERSION} --hash=sha256:{SOURCE_SHA256}"
        f' --config-settings="cmake.args={";".join((*build.cmake, *COMMON))}"\n'
    )
    run(
        [
            *(python, "-m", "pip", "wheel", "-v", "--disable-pip-version-check"),
            *("--no-deps", "--no-cache-dir", "--no-binary", "llama-cpp-python"),
            *(["--no-build-isolation"] if build_lock else []),
            *("--require-hashes", "-w", scratch, "-r", source),
        ],
        label=f"compiling llama.cpp ({build.name})",
        log=log,
    )
    folder = _wheel_folder(build, machine)
    folder.mkdir(parents=True, exist_ok=True)
    wheel = next(scratch.glob("*.whl"))
    partial = folder / f".{wheel.name}.{os.getpid()}"
    shutil.copyfile(wheel, partial)
    final = folder / wheel.name
    partial.replace(final)
    shutil.rmtree(scratch, ignore_errors=True)
    return final


def _install(wheel: Path, venv: Path, root: Path) -> None:
    pip = [environment.interpreter(venv), "-m", "pip", "install", "--disable-pip-version-check"]
    log = venv / "setup-engine.log"
    # Another build of the same version may be there, which pip would take for this one.
    run([*pip, "--force-reinstall", "--no-deps", wheel], label="installing the engine", log=log)
    run([*pip, "-c", root / "constraints.txt", wheel], label="installing what it needs", log=log)


def _prove(venv: Path, model: Path) -> str | None:
    """Decode with `model` in a child process; why it failed, or None."""
    command = [str(environment.interpreter(venv)), "-m", "ai_orchestrator.doctor.prove", "decode", str(model)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return "no answer within two minutes"
    if result.returncode < 0:
        return f"crashed with signal {-result.returncode}"
    if result.returncode:
        return (result.stderr.strip().splitlines() or ["unknown failure"])[-1]
    return None


def _is_current(record: Path, machine: Machine, wanted: str | None) -> bool:
    try:
        known = json.loads(record.read_text())
    except (OSError, ValueError):
        return False
    same_machine = known.get("flags") == sorted(machine.flags) and known.get("version") == VERSION
    return same_machine and wanted in (None, known.get("build"))


def _write_record(record: Path, build: Build, machine: Machine, rejected: list[str]) -> None:
    content = {
        "build": build.name,
        "why": build.why,
        "rejected": rejected,
        "version": VERSION,
        "flags": sorted(machine.flags),
    }
    record.write_text(json.dumps(content, indent=1))
