"""GGUF models from the Hugging Face hub into the registry: found, downloaded with resume, compared with their SHA-256.

HF_ENDPOINT, HF_TOKEN and the proxy variables of huggingface_hub are respected. The hub's own cache is not used: the
registry is where the file stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator_core.backends.hub import CONNECT_TIMEOUT_S, explained
from orchestrator_core.backends.model_files import first_parts
from orchestrator_core.errors import InvalidRequest, MissingExtra, ModelUnusable
from orchestrator_core.models.files import Progress, nothing
from orchestrator_core.models.manifest import MEMORY_FACTOR, ModelFile, ModelManifest, missing_shards
from orchestrator_core.models.registry import Registry
from orchestrator_core.models.version import Version
from orchestrator_core.settings import Settings
from shared_context.storage.identity import now
from shared_context.storage.sqlite_errors import translated_system

from ai_orchestrator.model_adding import name_of

MEMORY_SHARE = 0.8
"""Of the machine's memory, for a model; the rest is everybody else's."""

USUAL = "q4_k_m"
"""Taken of a repository with several quantisations: the smallest that hardly loses."""

_REPO = re.compile(r"([\w][\w.-]*/[\w][\w.-]*?)(?:[:/]([\w][\w.-]*\.gguf))?")


@dataclass(frozen=True, slots=True)
class Recommended:
    """
    Args:
        size: bytes, about; the hub knows exactly.
        why: for whom it is, in a line.
    """

    name: str
    repo: str
    file: str
    size: int
    licence: str
    why: str

    @property
    def memory(self) -> int:
        """Bytes that it takes while it answers."""
        return round(self.size * MEMORY_FACTOR)


RECOMMENDED = (
    Recommended(
        "mistral-7b-instruct", "TheBloke/Mistral-7B-Instruct-v0.2-GGUF", "mistral-7b-instruct-v0.2.Q4_K_M.gguf",
        4_368_439_584, "apache-2.0", "the model this project is made around",
    ),
    Recommended(
        "phi-3-mini", "microsoft/Phi-3-mini-4k-instruct-gguf", "Phi-3-mini-4k-instruct-q4.gguf",
        2_393_231_072, "mit", "for machines with 4 GB",
    ),
    Recommended(
        "qwen2.5-1.5b-instruct", "Qwen/Qwen2.5-1.5B-Instruct-GGUF", "qwen2.5-1.5b-instruct-q4_k_m.gguf",
        1_117_320_736, "apache-2.0", "small and quick, also on a VPS",
    ),
    Recommended(
        "qwen2.5-0.5b-instruct", "Qwen/Qwen2.5-0.5B-Instruct-GGUF", "qwen2.5-0.5b-instruct-q4_k_m.gguf",
        491_400_032, "apache-2.0", "for phones and the smallest VPS",
    ),
)  # fmt: skip
"""Best first."""


@dataclass(frozen=True, slots=True)
class HubModel:
    """A model of the hub, looked up.

    Args:
        files: with size and SHA-256, as the hub says.
    """

    repo: str
    revision: str
    licence: str
    files: dict[str, ModelFile]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())


def recommended_for(memory: int) -> list[Recommended]:
    """Those that fit a machine with so many bytes of memory, best first."""
    return [model for model in RECOMMENDED if model.memory <= memory * MEMORY_SHARE]


def look_up(what: str) -> HubModel:
    """
    Args:
        what: a name of `RECOMMENDED`, `owner/name`, or `owner/name:file.gguf`.

    Raises:
        InvalidRequest: it is none of these, or does not say which of several files.
        ModelNotFound: the hub has no such model, or cannot be reached.
        ModelUnusable: the hub does not say the files' hashes. MissingExtra.
    """
    known = next((model for model in RECOMMENDED if model.name == what), None)
    repo, file = (known.repo, known.file) if known is not None else _parse(what)
    with explained(repo):
        info = _api().model_info(repo, files_metadata=True, timeout=CONNECT_TIMEOUT_S)
    siblings = {each.rfilename: each for each in info.siblings or [] if "/" not in each.rfilename}
    names = _wanted(repo, [name for name in siblings if name.lower().endswith(".gguf")], file)
    return HubModel(
        repo, str(info.sha), _licence(info), {name: _file(repo, siblings[name]) for name in names}
    )


def download(
    settings: Settings, model: HubModel, *, name: str | None = None, progress: Progress = nothing
) -> Version:
    """Into the registry, as a new version. Broken off, it goes on where it stood.

    Args:
        progress: of comparing the hashes; huggingface_hub shows the download's own.

    Raises:
        ModelNotFound: the download broke off.
        Conflict: what arrived is not what the hub's hash says, or another command downloads it.
        StoreFull, StoreError.
    """
    registry = Registry(settings.models_folder)
    first = sorted(model.files)[0]
    called = name or _called(model, first)
    manifest = ModelManifest(
        name=called,
        version=registry.next_version(called),
        files=model.files,
        source=f"hub:{model.repo}@{model.revision}",
        licence=model.licence,
        created_at=now(),
    )
    incoming = registry.receive(manifest)
    with incoming.writing(wait=False):
        for file in sorted(model.files):
            if incoming.held()[file] < model.files[file].size:
                _fetch(model, file, incoming.folder / file)
        return incoming.finish(progress)


def _fetch(model: HubModel, file: str, target: Path) -> None:
    """The rest of a file. `hf_hub_download` would begin anew in each process: what it writes has a name of its own.

    Raises:
        ModelNotFound: it broke off; what arrived is kept. StoreError.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers

    url = hf_hub_url(model.repo, file, revision=model.revision, endpoint=constants.ENDPOINT)
    with (
        translated_system(target),
        target.open("ab") as stream,
        explained(model.repo, "the download broke off"),
    ):
        http_get(
            url,
            stream,
            resume_size=stream.tell(),
            headers=build_hf_headers(),
            expected_size=model.files[file].size,
            displayed_filename=file,
        )


def search(words: str, limit: int = 20) -> list[dict[str, Any]]:
    """GGUF repositories of the hub, those most downloaded first.

    Raises:
        ModelNotFound: the hub cannot be reached. MissingExtra.
    """
    with explained(words):
        models = list(_api().list_models(search=words, filter="gguf", sort="downloads", limit=limit))
    return [{"repo": model.id, "downloads": model.downloads, "licence": _licence(model)} for model in models]


def _api() -> Any:
    try:
        from huggingface_hub import HfApi, constants
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "desktop", "A model from the hub") from error
    return HfApi(endpoint=constants.ENDPOINT)


def _parse(what: str) -> tuple[str, str | None]:
    match = _REPO.fullmatch(what)
    if match is None:
        raise InvalidRequest(
            f"{what!r} is no model of the hub.",
            hint="Give owner/name, owner/name:file.gguf, or one of the names that "
            "`orchestrator models pull --list` shows.",
        )
    return match[1], match[2]


def _wanted(repo: str, ggufs: list[str], file: str | None) -> list[str]:
    """The files of one model among those of a repository."""
    whole = sorted(name for name in ggufs if name in {path.name for path in first_parts(map(Path, ggufs))})
    if file is None:
        usual = [name for name in whole if USUAL in name.lower()]
        chosen = usual or whole
        if len(chosen) != 1:
            listed = ", ".join(whole[:20]) or "none"
            raise InvalidRequest(f"{repo} has these GGUF files: {listed}.", hint=f"Say which: {repo}:FILE")
        file = chosen[0]
    if file not in ggufs:
        raise InvalidRequest(
            f"{repo} has no {file}.", hint=f"It has {', '.join(whole[:20]) or 'no GGUF file'}."
        )
    return sorted({file, *missing_shards([file])} & {*ggufs})


def _file(repo: str, sibling: Any) -> ModelFile:
    lfs = sibling.lfs
    if lfs is None or not re.fullmatch(r"[0-9a-f]{64}", lfs.sha256 or ""):
        raise ModelUnusable(f"The hub gives no SHA-256 for {sibling.rfilename} of {repo}.")
    return ModelFile(size=lfs.size, sha256=lfs.sha256)


def _licence(info: Any) -> str:
    tags = [tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")]
    return tags[0] if tags else "not said"


def _called(model: HubModel, file: str) -> str:
    known = next((each for each in RECOMMENDED if (each.repo, each.file) == (model.repo, file)), None)
    return known.name if known is not None else name_of(Path(file).with_suffix(""))
