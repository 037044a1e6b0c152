"""The loss curve as a table (CSV) and a picture (PNG)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LossPoint:
    step: int
    loss: float
    validation_loss: float | None = None

    def as_tuple(self) -> tuple[int, float, float | None]:
        return self.step, self.loss, self.validation_loss


def write_curve(points: Sequence[LossPoint], folder: Path) -> None:
    """`loss.csv` and `loss_curve.png`."""
    with (folder / "loss.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("step", "loss", "validation_loss"))
        for point in points:
            held_out = "" if point.validation_loss is None else f"{point.validation_loss:.4f}"
            writer.writerow((point.step, f"{point.loss:.4f}", held_out))
    _draw(points, folder / "loss_curve.png")


def _draw(points: Sequence[LossPoint], path: Path) -> None:
    # Not pyplot: it keeps every figure, and looks for a screen.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    held_out = [(point.step, point.validation_loss) for point in points if point.validation_loss is not None]
    axes.plot([point.step for point in points], [point.loss for point in points], label="training")
    if held_out:
        steps, losses = zip(*held_out, strict=True)
        axes.plot(steps, losses, linestyle="dashed", label="held out")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, dpi=100)
