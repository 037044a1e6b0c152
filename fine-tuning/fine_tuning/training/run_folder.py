"""One training's folder: what it is (`training_metadata.yaml`), how it went, its checkpoints, its adapter.

adapter_config.json, adapter_model.safetensors, tokenizer files     the result, put in place at the end
training_metadata.yaml     recipe, data, versions, status
metrics.json, loss_curve.png, loss.csv
checkpoints/checkpoint-N   only while the training is not done
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from fine_tuning.errors import TrainingRefused
from fine_tuning.training.loss_curve import LossPoint, write_curve
from fine_tuning.training.recipe import TrainingRecipe

METADATA, METRICS = "training_metadata.yaml", "metrics.json"
COMPLETE = "complete"
"""A file that is written into a checkpoint after everything else."""
LIBRARIES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")
FREE_TO_CHANGE = {
    "output_dir",
    "batch_size",
    "gradient_accumulation_steps",
    "save_steps",
    "logging_steps",
    "threads",
    "use_wandb",
}
"""Keys that a resumed run may have otherwise: the steps stay the same."""


class RunFolder:
    """A folder of one run.

    Args:
        path: made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"

    @property
    def metadata(self) -> dict[str, Any]:
        """What `training_metadata.yaml` says; empty before the first run."""
        file = self.path / METADATA
        if not file.is_file():
            return {}
        try:
            values = yaml.safe_load(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise TrainingRefused(f"{str(file)!r} cannot be read: {error}") from error
        return values if isinstance(values, dict) else {}

    def claim(self, recipe: TrainingRecipe, data_sha256: str, *, resume: bool) -> None:
        """Begin a run here, or go on with the one that is here.

        Raises:
            TrainingRefused: another run is here, or (resuming) none, or one of another recipe or data;
                or nothing can be written here.
        """
        known = self.metadata
        if resume:
            self._check_same(known, recipe, data_sha256)
        elif known or self.checkpoints.is_dir() or any(self.path.glob("adapter_model.*")):
            raise TrainingRefused(
                f"{str(self.path)!r} holds a run already ({known.get('status', 'unknown')}). "
                "Go on with it by --resume, or choose another --output_dir."
            )
        started = known.get("started") or _now()
        try:
            self._write_metadata(recipe, data_sha256, status="running", started=started)
        except OSError as error:
            reason = error.strerror or str(error)
            raise TrainingRefused(
                f"The run cannot be written to {str(self.path)!r}: {reason}. Choose another --output_dir."
            ) from error

    def last_checkpoint(self) -> Path | None:
        """The newest whole checkpoint; halves of others, left by a crash, are removed."""
        whole: dict[int, Path] = {}
        for folder in self.checkpoints.glob("checkpoint-*"):
            if (folder / COMPLETE).is_file():
                whole[int(folder.name.rpartition("-")[2])] = folder
            else:
                shutil.rmtree(folder, ignore_errors=True)
        return whole[max(whole)] if whole else None

    def finish(
        self,
        recipe: TrainingRecipe,
        data_sha256: str,
        adapter: Path,
        metrics: Mapping[str, Any],
        curve: Sequence[LossPoint],
    ) -> None:
        """Put the adapter in place, write how it went, and drop the checkpoints."""
        write_curve(curve, self.path)
        _write(self.path / METRICS, json.dumps(dict(metrics), indent=1) + "\n")
        # The configuration last: a folder with it is an adapter, whole.
        for file in sorted(adapter.iterdir(), key=lambda file: file.name == "adapter_config.json"):
            file.replace(self.path / file.name)
        adapter.rmdir()
        started = self.metadata.get("started") or _now()
        self._write_metadata(recipe, data_sha256, status="finished", started=started, finished=_now())
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def _check_same(self, known: Mapping[str, Any], recipe: TrainingRecipe, data_sha256: str) -> None:
        if not known:
            raise TrainingRefused(f"{str(self.path)!r} holds no run to resume.")
        if known.get("status") == "finished":
            raise TrainingRefused(f"The run in {str(self.path)!r} is finished; there is nothing to resume.")
        if known.get("data_sha256") != data_sha256:
            raise TrainingRefused("The examples have changed since this run began; begin another one.")
        before, now = known.get("recipe") or {}, _recipe_values(recipe)
        differing = [key for key in now if key not in FREE_TO_CHANGE and before.get(key) != now[key]]
        if differing:
            raise TrainingRefused(
                f"This run began with another {', '.join(differing)}; resume it with the same recipe."
            )
        if _step_size(before) != _step_size(now):
            raise TrainingRefused("batch_size x gradient_accumulation_steps must stay what it was.")

    def _write_metadata(self, recipe: TrainingRecipe, data_sha256: str, **facts: Any) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        values = {
            **facts,
            "base_model": recipe.model,
            "data_sha256": data_sha256,
            "recipe": _recipe_values(recipe),
            "versions": {name: version(name) for name in LIBRARIES},
        }
        _write(self.path / METADATA, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def new_run_folder(recipe: TrainingRecipe, home: Path) -> Path:
    """`outputs/<run_id>`: the time and the model's name."""
    name = Path(recipe.model).stem or "model"
    return home / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}"


def _step_size(recipe: Mapping[str, Any]) -> int:
    return int(recipe.get("batch_size", 0)) * int(recipe.get("gradient_accumulation_steps", 0))


def _recipe_values(recipe: TrainingRecipe) -> dict[str, Any]:
    values: dict[str, Any] = recipe.model_dump(mode="json")
    return values


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    part.replace(path)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
