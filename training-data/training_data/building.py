"""From sources to a dataset: repetitions and what must not be learned removed, and said so."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from training_data.duplicates import repeated
from training_data.records import Record
from training_data.scrub import sensitive_kinds
from training_data.sources.conversations import conversation_records
from training_data.sources.curated import SOURCE as CURATED
from training_data.sources.curated import curated_records
from training_data.sources.documents import document_records

MOST_CHARACTERS = 20_000
"""Of one example; about what the longest training window holds."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What may be read. The owner's own texts are used when they are named, and only then.

    Args:
        curated: this project's facts.
        documents: a context folder.
        conversations: a data folder, or its memory.db.
        chosen: ids of conversations; none: all of them.
    """

    curated: bool = True
    documents: Path | None = None
    conversations: Path | None = None
    chosen: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Removed:
    """`source` of an example that was left out, and why; never what it said."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Built:
    records: tuple[Record, ...]
    removed: tuple[Removed, ...] = field(default=())


def build(sources: Sources, seed: int, topics: Collection[str] = ()) -> Built:
    """The dataset of these sources; the same for the same seed and sources.

    Args:
        topics: only these; none: all.

    Raises:
        DatasetError: a source cannot be read, or a library is missing.
    """
    records = curated_records(seed) if sources.curated else []
    if sources.documents:
        records += document_records(sources.documents)
    if sources.conversations:
        records += conversation_records(sources.conversations, sources.chosen)
    return cleaned([record for record in records if not topics or record.topic in topics])


def cleaned(records: Sequence[Record], scan: Callable[[str], Iterable[str]] | None = None) -> Built:
    """Without personal data and repetitions. The curated facts are public and not searched for any.

    Args:
        scan: names the kinds of sensitive data in a text; default: `scrub.sensitive_kinds`.
    """
    removed: list[Removed] = []
    kept: list[Record] = []
    once = cache(scan or sensitive_kinds)  # a turn of a conversation stands before several answers
    for record in records:
        reason = "" if record.source == CURATED else _unfit(record, once)
        if reason:
            removed.append(Removed(record.source, reason))
        else:
            kept.append(record)
    again = repeated(kept)
    removed += [Removed(kept[i].source, "said already") for i in sorted(again)]
    return Built(tuple(record for i, record in enumerate(kept) if i not in again), tuple(removed))


def _unfit(record: Record, scan: Callable[[str], Iterable[str]]) -> str:
    if sum(len(turn.content) for turn in record.turns) > MOST_CHARACTERS:
        return "too long"
    return ", ".join(dict.fromkeys(kind for turn in record.turns for kind in scan(turn.content)))
