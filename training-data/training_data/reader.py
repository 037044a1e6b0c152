"""The one reader of dataset files: JSON list or JSONL, each fault with its line.

A file whose name ends in .jsonl has one example a line; any other is a JSON list when it begins with
`[`, and JSONL otherwise. Only a line feed ends a line. RFC 8259 is kept, where Python's own decoder
is laxer: no NaN, no name twice in an example.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from training_data.errors import DatasetSourceError, Fault, MalformedDataset
from training_data.records import Record, record_of

_BLANKS = " \t\n\r"


def read_records(path: Path) -> list[Record]:
    """All examples of a file, in its order.

    Accepts `instruction`, optional `input`, and `output` (or `response`), or a chat as `messages`;
    further fields are labels (`topic`, `fact`, `wording`, `source`, `licence`) or ignored.
    `Record.prompt` and `Record.completion` are TRL's columns of these names.

    Raises:
        MalformedDataset: with every fault and its line; there is no example without one.
        DatasetSourceError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetSourceError(
            f"{str(path)!r} cannot be read: {error.strerror or error}", "Name an existing dataset file."
        ) from error
    return records_in(data, str(path))


def records_in(data: bytes, name: str) -> list[Record]:
    """The same for a file's content, for example of an upload. `name` says by its ending what it is."""
    records: list[Record] = []
    faults: list[Fault] = []
    for outcome in _outcomes(data, name):
        (records if isinstance(outcome, Record) else faults).append(outcome)  # type: ignore[arg-type]
    if not records and not faults:
        faults.append(Fault(1, "there is no example."))
    if faults:
        raise MalformedDataset(name, tuple(sorted(faults, key=lambda fault: fault.line)))
    return records


@dataclass(frozen=True, slots=True)
class _Value:
    """A decoded value and the lines on which it and its members begin."""

    content: Any
    line: int
    lines: dict[str, int]


def _outcomes(data: bytes, name: str) -> Iterator[Record | Fault]:
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as error:
        line = data.removeprefix(codecs.BOM_UTF8).count(b"\n", 0, error.start) + 1
        yield Fault(line, "this line is not UTF-8.")
        return
    listed = not name.casefold().endswith(".jsonl") and text.lstrip(_BLANKS).startswith("[")
    for value in _listed(text) if listed else _lined(text):
        if isinstance(value, Fault):
            yield value
            continue
        outcome = record_of(value.content, value.line)
        if isinstance(outcome, Record):
            yield outcome
        else:
            for fault in outcome:
                yield Fault(value.lines.get(fault.field, value.line), fault.message)


def _lined(text: str) -> Iterator[_Value | Fault]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip(_BLANKS):
            try:
                value, stop = _value(_Text(line), _after_blanks(line, 0))
                _expect_end(line, stop)
            except _NotJson as error:
                yield Fault(number, error.message)
            else:
                yield _Value(value.content, number, {})


def _listed(text: str) -> Iterator[_Value | Fault]:
    """The elements of a JSON list; after the first fault in the syntax there is no telling what follows."""
    source = _Text(text)
    position = _after_blanks(text, text.index("[") + 1)
    try:
        if text[position : position + 1] == "]":
            _expect_end(text, position + 1)
            return
        while True:
            value, position = _value(source, position)
            yield value
            position = _after_blanks(text, position)
            if text[position : position + 1] == "]":
                _expect_end(text, position + 1)
                return
            if text[position : position + 1] != ",":
                raise _NotJson("a comma or the end of the list is expected here.", position)
            position = _after_blanks(text, position + 1)
    except _NotJson as error:
        yield Fault(source.line(min(error.position, len(text.rstrip(_BLANKS)))), error.message)


class _NotJson(Exception):
    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.message, self.position = message, position


class _Text:
    """A text that knows the line of a position; positions are asked for in about their order."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._position, self._line = 0, 1

    def line(self, position: int) -> int:
        if position < self._position:
            self._position, self._line = 0, 1
        self._line += self.text.count("\n", self._position, position)
        self._position = position
        return self._line


def _value(source: _Text, position: int) -> tuple[_Value, int]:
    """The value that begins at `position`, and where it ends."""
    line = source.line(position)
    if not source.text.startswith("{", position):
        content, stop = _decoded(source.text, position)
        return _Value(content, line, {}), stop
    members: dict[str, Any] = {}
    lines: dict[str, int] = {}
    text = source.text
    position = _after_blanks(text, position + 1)
    if text.startswith("}", position):
        return _Value(members, line, lines), position + 1
    while True:
        if not text.startswith('"', position):
            raise _NotJson("a name in double quotes is expected here.", position)
        name, stop = _decoded(text, position)
        if name in members:
            raise _NotJson(f"{name[:40]!r} is there twice in one example.", position)
        lines[name] = source.line(position)
        stop = _after_blanks(text, stop)
        if not text.startswith(":", stop):
            raise _NotJson("a colon is expected here.", stop)
        members[name], stop = _decoded(text, _after_blanks(text, stop + 1))
        position = _after_blanks(text, stop)
        if text.startswith("}", position):
            return _Value(members, line, lines), position + 1
        if not text.startswith(",", position):
            raise _NotJson("a comma or the end of the example is expected here.", position)
        position = _after_blanks(text, position + 1)


def _decoded(text: str, position: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except JSONDecodeError as error:
        raise _NotJson(_said(error), error.pos) from error
    except RecursionError as error:
        raise _NotJson("it is nested too deeply.", position) from error
    except ValueError as error:  # a number of thousands of digits, or NaN
        raise _NotJson(f"{error}", position) from error


def _said(error: JSONDecodeError) -> str:
    return f"no JSON: {error.msg[:1].lower()}{error.msg[1:]} (column {error.colno})."


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name is there twice in one object.")
    return members


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_unique)


def _after_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in _BLANKS:
        position += 1
    return position


def _expect_end(text: str, position: int) -> None:
    position = _after_blanks(text, position)
    if position < len(text):
        raise _NotJson("something follows the end.", position)
