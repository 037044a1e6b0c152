"""The starter documents: what a new context folder is filled with.

There is one copy of each, beside this package in `shared-context/`, where people see it.
`setup.py` copies them into an installed package; a checkout or an editable install reads
the originals.
"""

from __future__ import annotations

from pathlib import Path

_INSTALLED = Path(__file__).parents[1] / "starters"
_CHECKOUT = Path(__file__).parents[2]


def starter_text(name: str) -> str:
    """The template for the document of this name."""
    folder = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
    return (folder / name).read_text("utf-8")
