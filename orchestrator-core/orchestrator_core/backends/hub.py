"""Models and adapters from the Hugging Face hub: the local cache first, then one quick look whether
the hub can be reached, then the download.

The libraries would ask the hub for every file, with retries: where packets are dropped, that takes
minutes. What is in the cache is used without asking whether the hub has a newer version.
"""

from __future__ import annotations

import fnmatch
import io
import json
import logging
import math
import queue
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator_core.errors import MissingExtra, ModelNotFound, ModelUnusable

log = logging.getLogger(__name__)

MODEL_FILE = "config.json"
"""What makes a folder a model; an adapter's is `adapter_config.json`."""

CONNECT_TIMEOUT_S = 5.0
REACH_TIMEOUT_S = 8.0
"""For the whole look at the hub. A connection timeout alone is no bound: it counts for each of the
hub's addresses anew, and not at all while its name is looked up."""
ASK_AGAIN_AFTER_S = 10.0
"""A hub that could not be reached is left alone for so long: one question to the assistant asks for
the model more than once."""
ETAG_TIMEOUT_S = 10.0
PROGRESS_EVERY_S = 10.0

_SIDE_FILES = ("*.json", "*.jinja", "*.model", "*.txt")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "adapter_model.bin")
_OTHER_FORMATS = ("consolidated*",)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json")

_failures: dict[str, tuple[float, str]] = {}
"""Of each endpoint that could not be reached: when, on the monotonic clock, and why."""


def fetch(repo: str, marker: str = MODEL_FILE) -> Path:
    """The folder with this repository's files, downloaded if need be.

    HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE are respected. A download that was broken off
    goes on where it stood.

    Args:
        repo: `owner/name`.
        marker: the file that the repository must have.

    Raises:
        ModelNotFound: it is not in the cache, and the hub cannot be reached or does not give it.
        ModelUnusable: the repository holds something else.
        MissingExtra: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import constants
    except ImportError as error:
        raise MissingExtra("huggingface_hub", "hf", "A model from the Hugging Face hub") from error
    cached = find_cached(repo, marker)
    if cached is not None:
        log.info("%s is in the local cache.", repo)
        return cached
    if constants.HF_HUB_OFFLINE:
        raise _unavailable(repo, "HF_HUB_OFFLINE is set")
    wanted = _wanted_files(_look(repo), marker, repo)
    return _download(repo, wanted)


def find_cached(repo: str, marker: str = MODEL_FILE) -> Path | None:
    """The folder of this repository in the local cache; None where it is not complete.

    Raises:
        ModelNotFound: no repository can have this name.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(repo, marker)
    except HFValidationError as error:
        raise ModelNotFound(f"{repo!r} cannot be the name of a model: {_first_line(error)}") from error
    if not isinstance(cached, str):
        return None
    folder = Path(cached).parent
    return folder if is_complete(folder) else None


def is_complete(folder: Path) -> bool:
    """Whether the weights are there in full, and with a model's its tokenizer."""
    names = {file.name for file in folder.iterdir() if file.exists()}
    if MODEL_FILE in names:
        return _has_model_weights(folder, names) and not names.isdisjoint(_TOKENIZERS)
    return not names.isdisjoint({"adapter_model.safetensors", "adapter_model.bin"})


def wanted_files(names: Collection[str]) -> list[str]:
    """Which of a repository's files to download: one format of the weights, and what is small.

    Weights in subfolders, of other libraries, and `.bin` files beside `.safetensors` are left out.
    """
    top = [
        name
        for name in names
        if "/" not in name and not any(fnmatch.fnmatch(name, other) for other in _OTHER_FORMATS)
    ]
    wanted = [name for name in top if any(fnmatch.fnmatch(name, side) for side in _SIDE_FILES)]
    for weights in _WEIGHTS:
        matching = fnmatch.filter(top, weights)
        if matching:
            return sorted({*wanted, *matching})
    return sorted(wanted)


def _has_model_weights(folder: Path, names: Collection[str]) -> bool:
    for single in ("model.safetensors", "pytorch_model.bin"):
        if single in names:
            return True
        if f"{single}.index.json" in names:
            try:
                index = json.loads((folder / f"{single}.index.json").read_text("utf-8"))
                return set(index["weight_map"].values()) <= set(names)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                return False
    return False


def _wanted_files(names: Collection[str], marker: str, repo: str) -> list[str]:
    if marker not in names:
        ggufs = any(name.lower().endswith(".gguf") for name in names)
        raise ModelUnusable(
            f"The repository {repo!r} on the hub has no {marker}.",
            hint="Download one of its *.gguf files and set model.path to it."
            if ggufs
            else "Give a repository with a Hugging Face model.",
        )
    return wanted_files(names)


def _look(repo: str) -> list[str]:
    """The names of the repository's files, asked of the hub once.

    Asked in a thread that is left behind when it takes too long; see `REACH_TIMEOUT_S`.

    Raises:
        ModelNotFound: no answer in time, or a refusal.
    """
    from huggingface_hub import HfApi, constants

    failed_at, reason = _failures.get(constants.ENDPOINT, (-math.inf, ""))
    if time.monotonic() - failed_at < ASK_AGAIN_AFTER_S:
        raise _unavailable(repo, reason)
    answers: queue.Queue[list[str] | Exception] = queue.Queue(1)

    def ask() -> None:
        try:
            info = HfApi(endpoint=constants.ENDPOINT).model_info(repo, timeout=CONNECT_TIMEOUT_S)
            answers.put([file.rfilename for file in info.siblings or []])
        except Exception as error:
            answers.put(error)

    threading.Thread(target=ask, name="hub-look", daemon=True).start()
    try:
        answer = answers.get(timeout=REACH_TIMEOUT_S)
    except queue.Empty:
        raise _unreachable(repo, f"no answer within {REACH_TIMEOUT_S:g} s") from None
    if isinstance(answer, Exception):
        with explained(repo):
            raise answer
    return answer


def _download(repo: str, files: list[str]) -> Path:
    from huggingface_hub import constants, snapshot_download

    log.info("Downloading %s from %s: %d files.", repo, constants.ENDPOINT, len(files))
    with explained(repo, "the download broke off"):
        folder = snapshot_download(
            repo,
            endpoint=constants.ENDPOINT,
            allow_patterns=files,
            etag_timeout=ETAG_TIMEOUT_S,
            tqdm_class=_progress(repo),
        )
    log.info("Downloaded %s.", repo)
    return Path(folder)


def _progress(repo: str) -> Any:
    """A tqdm class that writes to the log instead of a terminal."""
    from tqdm import tqdm  # type: ignore[import-untyped]

    reported_at = [time.monotonic()]

    class Logged(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "file": io.StringIO()})

        def display(self, *args: Any, **options: Any) -> None:
            if self.unit == "B" and self.n and time.monotonic() - reported_at[0] >= PROGRESS_EVERY_S:
                reported_at[0] = time.monotonic()
                size = tqdm.format_sizeof
                log.info("Downloading %s: %sB of %sB", repo, size(self.n), size(self.total or 0))

    return Logged


@contextmanager
def explained(repo: str, doing: str | None = None) -> Iterator[None]:
    """Turns what the hub's library raises into a ModelNotFound that says what to do.

    Args:
        doing: what failed, where the hub has answered before; None: it could not be reached.
    """
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError as error:
        raise _gated(repo) from error
    except RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"The hub has no model {repo!r}, or it is private.",
            hint="Check the name, or run `hf auth login` with an account that may read it.",
        ) from error
    except Exception as error:  # the hub's own, or of whichever HTTP library it uses
        response = error.response if isinstance(error, HfHubHTTPError) else None
        if response is not None and response.status_code in (401, 403):
            raise _gated(repo) from error
        if doing is None:
            reason = f"{type(error).__name__}: {_first_line(error)}"
            raise _unreachable(
                repo, f"it answers {response.status_code}" if response is not None else reason
            ) from error
        raise ModelNotFound(
            f"The model {repo!r} is not in the local cache, and {doing}: {_first_line(error)}",
            hint="Try again: what has arrived is kept, and the download goes on from there.",
        ) from error


def _gated(repo: str) -> ModelNotFound:
    return ModelNotFound(
        f"The model {repo!r} is gated or private.",
        hint="Accept its licence on its page, then run `hf auth login`.",
    )


def _unreachable(repo: str, why: str) -> ModelNotFound:
    from huggingface_hub import constants

    reason = f"the hub at {constants.ENDPOINT} cannot be reached ({why})"
    _failures[constants.ENDPOINT] = (time.monotonic(), reason)
    return _unavailable(repo, reason)


def _unavailable(repo: str, why: str) -> ModelNotFound:
    return ModelNotFound(
        f"The model {repo!r} is neither a folder here nor complete in the local cache, and {why}.",
        hint="Set model.path to a local folder or a *.gguf file; or, on a machine that is online, run "
        f"`hf download {repo}`, then set HF_HUB_OFFLINE=1 to use the cached model.",
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
