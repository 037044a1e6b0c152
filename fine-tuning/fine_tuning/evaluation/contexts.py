"""Realistic documents of two invented owners, for evaluation only: never trained on.

Training uses generated documents (`surroundings`); a score with those would only show that
the model ignores what it was trained to ignore. One owner's documents are far from this
project's subjects, the other's are close to them.
"""

from __future__ import annotations

from importlib import resources
from random import Random

from fine_tuning.evaluation.surroundings import (
    DOCUMENT_NAMES,
    SERVER_INTRODUCTION,
    SERVER_SYSTEM_TEXT,
    time_line,
)

OWNERS = ("bakery", "homelab")


def server_system_text(owner: str | None = None) -> str:
    """The system message the server would send: bare, or with an owner's documents."""
    if owner is None:
        return SERVER_SYSTEM_TEXT
    folder = resources.files("fine_tuning").joinpath("sample_context", owner)
    blocks = [
        f'<document name="{name}">\n{folder.joinpath(name).read_text("utf-8").strip()}\n</document>'
        for name in DOCUMENT_NAMES
    ]
    return "\n\n".join((SERVER_SYSTEM_TEXT, SERVER_INTRODUCTION, *blocks))


def server_question(text: str, number: int) -> str:
    """A question with a time line that depends on `number` only."""
    return f"{time_line(Random(f'evaluation:{number}'))}\n\n{text}"
