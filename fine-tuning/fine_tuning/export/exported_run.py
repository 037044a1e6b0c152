"""From a run's folder to files that servers load, each compared with the trained model.

<name>-lora-f16.gguf    the adapter, loaded beside its base: small, the usual way
<name>-f16.gguf         the merged model
<name>-Q4_K_M.gguf      the same, quantised
parity.json             how far each differs from the trained model
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared_context.storage.atomic import write_whole
from training_data.records import Record

from fine_tuning.errors import BaseModelError, ExportFailed
from fine_tuning.export.adapter_merge import base_of, merge
from fine_tuning.export.divergence import (
    EXACT,
    QUANTISED,
    Divergence,
    FolderScorer,
    GgufScorer,
    Margin,
    Scorer,
    compare,
)
from fine_tuning.export.gguf_conversion import DEFAULT_QUANTISATION, lora_gguf, model_gguf, quantised
from fine_tuning.quiet_libraries import silenced
from fine_tuning.training.base_model import resolved

PARITY_FILE = "parity.json"
BESIDE_BASE = "base + adapter"
"""The step in which the adapter is compared beside its base."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ExportStep:
    """One exported form and how it compares."""

    name: str
    divergence: Divergence
    margin: Margin

    @property
    def passed(self) -> bool:
        return self.divergence.within(self.margin)

    @property
    def fault(self) -> str | None:
        """What is wrong, in a sentence; None where nothing is."""
        measured = self.divergence
        if self.passed:
            return None
        if measured.misread:
            return (
                f"{self.name} reads {measured.misread} dialogues as other tokens than the trained model: "
                "its chat template or its tokenizer is another."
            )
        return (
            f"{self.name} differs from the trained model: divergence {measured.kl:.4f} (at most {self.margin.kl}), "
            f"same likeliest token {measured.same_top:.1%} (at least {self.margin.same_top:.0%})."
        )


@dataclass(frozen=True, slots=True)
class Export:
    """What was written.

    Args:
        merged: f16 and quantised files; empty where only the adapter was wanted.
    """

    adapter: Path
    merged: tuple[Path, ...]
    steps: tuple[ExportStep, ...]

    @property
    def faults(self) -> list[str]:
        """What the gate refuses it for."""
        return [step.fault for step in self.steps if step.fault]


def export(
    run: Path,
    target: Path,
    held_out: Sequence[Record],
    *,
    base_gguf: Path | None = None,
    kinds: Sequence[str] = (DEFAULT_QUANTISATION,),
    merged: bool = True,
    threads: int = 0,
    say: Say = lambda _: None,
) -> Export:
    """Write the run's model in both forms and compare them over `held_out`.

    Args:
        base_gguf: the GGUF of the base that a server has; with it the adapter is compared beside it.
        kinds: quantisations of the merged model.
        merged: also write the merged model; needs twice its f16 size of room while at work.
        threads: for quantising; 0: all.

    Raises:
        ExportFailed, BaseModelError: what could not be written, and why. A file that is there is whole.
    """
    unknown = [kind for kind in kinds if kind not in QUANTISED]
    if unknown:
        raise ExportFailed(f"Unknown quantisation {unknown[0]!r}; known: {', '.join(QUANTISED)}.")
    with silenced():
        base = Path(_local(resolved(base_of(run))))
        name = run.resolve().name
        names = [f"{name}-{kind}.gguf" for kind in ("f16", *kinds)] if merged else []
        _note(target, {each: {"passed": False} for each in [*names, BESIDE_BASE]})
        say("converting the adapter")
        adapter = lora_gguf(run, base, target / f"{name}-lora-f16.gguf")
        reference = _trained(base, run)
        steps: list[ExportStep] = []
        if base_gguf is not None:
            scorer = GgufScorer(base_gguf, adapter)
            steps.append(_compared(BESIDE_BASE, reference, scorer, _beside(base_gguf), held_out, say))
        files = _merged(run, base, target, name, kinds, threads, say) if merged else ()
        for file in files:
            margin = EXACT if file.name.endswith("-f16.gguf") else QUANTISED[file.stem.rpartition("-")[2]]
            steps.append(_compared(file.name, reference, GgufScorer(file), margin, held_out, say))
    done = Export(adapter, files, tuple(steps))
    _note(target, _measured(steps))
    return done


def _trained(base: Path, run: Path) -> FolderScorer:
    from safetensors import SafetensorError

    try:
        return FolderScorer(base, run)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise BaseModelError(
            f"The trained model, {str(run)!r} on {str(base)!r}, cannot be loaded: {error}"
        ) from error


def _merged(
    run: Path, base: Path, target: Path, name: str, kinds: Sequence[str], threads: int, say: Say
) -> tuple[Path, ...]:
    folder = target / ".merged"
    try:
        say("merging the adapter into its base, shard by shard")
        merge(base, run, folder)
        say("converting the merged model to f16")
        whole = model_gguf(folder, target / f"{name}-f16.gguf")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    files = [whole]
    for kind in kinds:
        say(f"quantising to {kind}")
        files.append(quantised(whole, target / f"{name}-{kind}.gguf", kind, threads))
    return tuple(files)


def _compared(
    name: str, reference: Scorer, model: Scorer, margin: Margin, held_out: Sequence[Record], say: Say
) -> ExportStep:
    try:
        step = ExportStep(name, compare(reference, model, held_out), margin)
    finally:
        model.close()
    measured = step.divergence
    say(
        f"{name}: divergence {measured.kl:.4f}, same likeliest token {measured.same_top:.1%} "
        f"over {measured.tokens} tokens: {'passed' if step.passed else step.fault}"
    )
    return step


def _beside(base_gguf: Path) -> Margin:
    """What the base's own quantisation may cost; the adapter itself costs nothing."""
    kind = next((kind for kind in QUANTISED if kind.lower() in base_gguf.name.lower()), None)
    return QUANTISED[kind] if kind else EXACT


def _local(source: str) -> str:
    """The folder of a hub's model, from the cache that training filled."""
    if Path(source).is_dir():
        return source
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return snapshot_download(source)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ExportFailed(f"The base {source!r} cannot be had from the hub: {error}") from error


def _measured(steps: Sequence[ExportStep]) -> dict[str, Any]:
    return {
        step.name: {**asdict(step.divergence), "margin": asdict(step.margin), "passed": step.passed}
        for step in steps
    }


def _note(target: Path, parity: Mapping[str, Any]) -> None:
    """Written before the files too, as not passed: where the export is broken off, the gate refuses what it left."""
    path = target / PARITY_FILE
    try:
        target.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(parity, indent=1) + "\n")
    except OSError as error:
        raise ExportFailed(f"{str(path)!r} could not be written: {error}") from error
