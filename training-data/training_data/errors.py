"""Every error of a dataset, in one tree.

DatasetError
├── MalformedDataset      a file has faults; each with its line
├── DatasetSourceError    something an example is made from cannot be read
├── FactError             a file of facts
└── MissingLibrary        a library that a dataset is made with is not installed
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from shared_context.errors import ApplicationError

SHOWN = 20
"""Faults named in a message; all are in `MalformedDataset.faults`."""


class DatasetError(ApplicationError):
    """Base of this package's errors."""

    type = "invalid_request_error"
    code = "dataset_error"
    status = 422


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a file.

    Args:
        line: counted from 1.
        message: what is wrong there, without the line.
    """

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class MalformedDataset(DatasetError):
    """A dataset file has faults; nothing of it is used.

    Args:
        name: of the file.
        faults: at least one, in the order of the lines.
    """

    code = "malformed_dataset"
    faults: ClassVar[tuple[Fault, ...]] = ()

    def __init__(self, name: str, faults: tuple[Fault, ...]) -> None:
        shown = "\n".join(f"  {fault}" for fault in faults[:SHOWN])
        more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        super().__init__(
            f"{name!r} cannot be used as a dataset:\n{shown}{more}",
            'Each example is {"instruction": …, "input": …, "output": …} or {"messages": […]}, in a JSON list or one a line.',
        )
        vars(self).update(faults=faults)


class DatasetSourceError(DatasetError):
    """Something that examples are made from cannot be read."""

    code = "dataset_source_error"


class FactError(DatasetError):
    """A file of facts says something that no dataset can be made of; the message names file and fact."""

    code = "fact_error"


class MissingLibrary(DatasetError):
    """A library that a dataset is made with is not installed; nothing is written."""

    code = "missing_library"
    status = 501
