"""The terminal: whether there is one, whether it wants colour, and what may be sent to it."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import click

PATIENCE_S = 1.5

_UNSAFE = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)])
del _UNSAFE[0x0A], _UNSAFE[0x09]


def has_terminal(stream: IO[Any] | None = None) -> bool:
    stream = sys.stdout if stream is None else stream
    return stream is not None and not stream.closed and stream.isatty()


def interactive() -> bool:
    """Whether a person can be asked: both ends of the conversation are a terminal."""
    return has_terminal(sys.stdin) and has_terminal(sys.stdout)


def wants_colour(stream: IO[Any] | None = None) -> bool:
    """A terminal that is not dumb, and no NO_COLOR (https://no-color.org)."""
    return has_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def safe(text: str) -> str:
    """`text` without control characters other than newline and tab.

    Models and documents may contain escape sequences, with which a terminal can be made to
    hide text, change its title or answer as if something had been typed.
    """
    return text.translate(_UNSAFE)


def write(text: str, *, stream: IO[str] | None = None) -> None:
    """Text from elsewhere to standard output, at once: harmless to a terminal, exact in a pipe."""
    stream = sys.stdout if stream is None else stream
    stream.write(safe(text) if has_terminal(stream) else text)
    stream.flush()


def note(text: str) -> None:
    """A dim line on stderr, for what is not the answer itself."""
    click.echo(click.style(safe(text), dim=True) if wants_colour(sys.stderr) else safe(text), err=True)


@contextmanager
def patience(text: str) -> Iterator[None]:
    """Says `text` when the block takes longer than a person waits without wondering."""
    timer = threading.Timer(PATIENCE_S, note, (text,)) if has_terminal(sys.stderr) else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


def write_json(value: Any) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write("\n")
    sys.stdout.flush()


def write_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; for pipes one line per row, tabs between cells, no headings."""
    if not has_terminal():
        for row in rows:
            click.echo("\t".join(_cell(value) for value in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(safe(str(value))) for value in row))
    Console(no_color=not wants_colour()).print(table)


def _cell(value: object) -> str:
    return " ".join(str(value).split())


def piped_input() -> str | None:
    """What was piped or redirected into this process; None for a terminal or nothing at all.

    Only pipes, sockets and files are read: a daemon's standard input may be anything else.

    Raises:
        click.UsageError: it is not UTF-8.
    """
    stream = sys.stdin
    if stream is None or stream.closed:
        return None
    try:
        mode = os.fstat(stream.fileno()).st_mode
    except (OSError, ValueError):
        return stream.read()
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return None
    try:
        return stream.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"Standard input is not UTF-8 text (byte {error.object[error.start]:#04x} at {error.start})."
        ) from None
