"""What all benchmarks share: the machine's description, medians, and a model to run on."""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil
from gguf_models import preset_model
from rich.console import Console
from rich.table import Table

console = Console(width=120)


def describe_run() -> None:
    """Print what figures depend on: machine, load, versions, command."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    memory = psutil.virtual_memory().total / 2**30
    console.print(f"machine   {_processor()}, {psutil.cpu_count(logical=False)} cores, {memory:.0f} GiB")
    console.print(f"load      {load} (1, 5, 15 minutes, before the run)")
    packages = ", ".join(f"{name} {version(name)}" for name in ("llama-cpp-python", "numpy", "waitress"))
    console.print(f"versions  Python {platform.python_version()}, {packages}")
    console.print(f"command   python {shlex.join(sys.argv)}\n", highlight=False)


@contextmanager
def model_file(path: Path | None, size: str, quant: str) -> Iterator[Path]:
    """The given model, or one with random weights that lives as long as the run."""
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        yield preset_model(Path(folder) / f"random-{size}-{quant}.gguf", size, quant=quant)


def show(title: str, columns: list[str], rows: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def middle(values: list[float]) -> float:
    """The median, NaN of nothing."""
    return median(values) if values else float("nan")


def verdict(value: float, limit: float, *, least: bool) -> str:
    """ "0.98 (target >= 0.97: met)"."""
    met = value >= limit if least else value <= limit
    return f"{value:.2f} (target {'>=' if least else '<='} {limit:g}: {'met' if met else 'NOT met'})"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
