"""The facts of this project with their wordings, as records."""

from __future__ import annotations

from training_data.dataset import build_examples
from training_data.records import Record

SOURCE = "curated"
LICENCE = "MIT"
"""That of this repository."""


def curated_records(seed: int) -> list[Record]:
    """All of them, in the order of the facts."""
    return [
        Record.of(
            example.instruction,
            example.output,
            topic=example.topic,
            fact=example.fact,
            wording=example.wording,
            source=SOURCE,
            licence=LICENCE,
        )
        for example in build_examples(seed)
    ]
