"""Examples as TRL's `prompt`/`completion` columns: only the answer is learnt, whatever the chat template marks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training_data.errors import DatasetError
from training_data.reader import read_records

from fine_tuning.errors import TrainingRefused

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is read, and the answer that is learnt."""

    prompt: tuple[Message, ...]
    completion: tuple[Message, ...]

    def columns(self) -> dict[str, list[Message]]:
        return {"prompt": list(self.prompt), "completion": list(self.completion)}


def read_dialogues(path: Path) -> list[Dialogue]:
    """The dialogues of a dataset file.

    Raises:
        TrainingRefused: no such file, a row of another shape, or none at all.
    """
    try:
        records = read_records(path)
    except DatasetError as error:
        raise TrainingRefused(error.message) from error
    return [Dialogue(tuple(record.prompt), tuple(record.completion)) for record in records]


def short_enough(
    dialogues: Sequence[Dialogue], longest: int, count: Callable[[Dialogue], int]
) -> tuple[list[Dialogue], int]:
    """Those of at most `longest` tokens, and how many were left out: a cut answer would be learnt as whole.

    Raises:
        TrainingRefused: none is left.
    """
    kept = [dialogue for dialogue in dialogues if count(dialogue) <= longest]
    if not kept:
        raise TrainingRefused(f"Every example is longer than {longest} tokens; raise --max_seq_length.")
    return kept, len(dialogues) - len(kept)


def digest(dialogues: Iterable[Dialogue]) -> str:
    """SHA-256 of the examples in their order: what a checkpoint belongs to."""
    rows = [dialogue.columns() for dialogue in dialogues]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
