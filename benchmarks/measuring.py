"""What all benchmarks share: the machine's description, medians, and the model to run on."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import click
import psutil
import requests
from gguf_models import SentencePieceVocabulary, preset_model
from orchestrator_core.event_stream import events_in
from orchestrator_core.streamed_http import pieces
from rich.console import Console
from rich.table import Table

console = Console(width=120)

Command = TypeVar("Command", bound=Callable[..., None])


def describe_run() -> None:
    """Print what figures depend on: machine, load, versions, command."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    memory = psutil.virtual_memory().total / 2**30
    console.print(f"machine   {_processor()}, {psutil.cpu_count(logical=False)} cores, {memory:.0f} GiB")
    console.print(f"load      {load} (1, 5, 15 minutes, before the run)")
    packages = ", ".join(f"{name} {version(name)}" for name in ("llama-cpp-python", "numpy", "waitress"))
    console.print(f"versions  Python {platform.python_version()}, {packages}")
    console.print(f"command   python {shlex.join(sys.argv)}\n", highlight=False)


def event_data(answer: requests.Response) -> Iterator[dict[str, Any]]:
    """Each event of a streamed answer, as it comes."""
    for event in events_in(pieces(answer)):
        yield json.loads(event.data)


def model_options(
    *, size: str = "100M", quant: str = "Q4_K_M", threads: int = 2
) -> Callable[[Command], Command]:
    """`--model`, `--size`, `--quant` and `--threads`, with these defaults."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    options = (
        click.option("--model", type=file, help="GGUF file."),
        click.option("--size", default=size, show_default=True, help="Random model when no file is given."),
        click.option("--quant", default=quant, show_default=True),
        click.option("--threads", default=threads, show_default=True),
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


@contextmanager
def model_file(
    path: Path | None, size: str, quant: str, vocabulary: SentencePieceVocabulary | None = None
) -> Iterator[Path]:
    """The given model, or one with random weights that lives as long as the run."""
    if path is not None:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"random-{size}-{quant}.gguf"
        yield preset_model(file, size, quant=quant, vocabulary=vocabulary)


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
