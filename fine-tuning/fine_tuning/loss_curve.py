"""The loss curve as a table (CSV) and a picture (SVG, written by hand: it is two lines)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 720, 360, 48


@dataclass(frozen=True, slots=True)
class LossPoint:
    step: int
    loss: float
    validation_loss: float | None = None

    def as_tuple(self) -> tuple[int, float, float | None]:
        return self.step, self.loss, self.validation_loss


def write_curve(points: Sequence[LossPoint], folder: Path) -> None:
    """`loss.csv` and `loss.svg`."""
    with (folder / "loss.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("step", "loss", "validation_loss"))
        for point in points:
            held_out = "" if point.validation_loss is None else f"{point.validation_loss:.4f}"
            writer.writerow((point.step, f"{point.loss:.4f}", held_out))
    (folder / "loss.svg").write_text(curve_svg(points), "utf-8")


def curve_svg(points: Sequence[LossPoint]) -> str:
    """Training loss as a line, validation loss as a dashed one; step to the right, loss upwards."""
    last = max((point.step for point in points), default=1)
    values = [point.loss for point in points]
    values += [point.validation_loss for point in points if point.validation_loss is not None]
    top = max(values, default=1.0) or 1.0

    def place(step: int, loss: float) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * step / last
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * loss / top
        return f"{x:.1f},{y:.1f}"

    train = " ".join(place(point.step, point.loss) for point in points)
    held_out = " ".join(
        place(point.step, point.validation_loss) for point in points if point.validation_loss is not None
    )
    bottom = HEIGHT - MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
        f'<path d="M{MARGIN},{MARGIN} V{bottom} H{WIDTH - MARGIN}" fill="none" stroke="gray"/>\n'
        f'<polyline points="{train}" fill="none" stroke="#1f6feb"/>\n'
        f'<polyline points="{held_out}" fill="none" stroke="#d29922" stroke-dasharray="6 3"/>\n'
        f'<text x="{MARGIN}" y="{MARGIN - 12}">loss (line: training, dashed: held-out wordings), top {top:.2f}'
        f'</text>\n<text x="{WIDTH - MARGIN}" y="{HEIGHT - 16}" text-anchor="end">step {last}</text>\n</svg>\n'
    )
