"""Examples as TRL's `prompt`/`completion` columns: only the answer is learnt, whatever the chat template marks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from training_data.errors import DatasetError
from training_data.reader import read_records
from training_data.records import Record

from fine_tuning.errors import TrainingRefused

MOST_NAMED = 5
"""Of the examples that are left out."""


def read_dialogues(path: Path) -> list[Record]:
    """The dialogues of a dataset file.

    Raises:
        TrainingRefused: no such file, or a row of another shape, with its line.
    """
    try:
        return read_records(path)
    except DatasetError as error:
        raise TrainingRefused(error.message, error.hint) from error


def short_enough(
    dialogues: Sequence[Record], longest: int, count: Callable[[Record], int]
) -> tuple[list[Record], str]:
    """Those of at most `longest` tokens, and in words which were left out, "" for none: a cut answer would be
    learnt as whole.

    Raises:
        TrainingRefused: none is left.
    """
    lengths = [count(dialogue) for dialogue in dialogues]
    kept = [dialogue for dialogue, tokens in zip(dialogues, lengths, strict=True) if tokens <= longest]
    if not kept:
        raise TrainingRefused(f"Every example is longer than {longest} tokens; raise --max_seq_length.")
    long = [f"the {number}. ({tokens:,})" for number, tokens in enumerate(lengths, 1) if tokens > longest]
    if not long:
        return kept, ""
    more = ["…"] if len(long) > MOST_NAMED else []
    return kept, (
        f"{len(long)} of {len(dialogues)} examples are longer than {longest} tokens and left out: "
        f"{', '.join(long[:MOST_NAMED] + more)}"
    )


def columns(dialogue: Record) -> dict[str, list[dict[str, str]]]:
    return {"prompt": dialogue.prompt, "completion": dialogue.completion}


def digest(dialogues: Iterable[Record]) -> str:
    """SHA-256 of the examples in their order: what a checkpoint belongs to."""
    rows = [columns(dialogue) for dialogue in dialogues]
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()
