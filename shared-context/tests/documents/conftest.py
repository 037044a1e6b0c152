from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from shared_context.documents.context_folder import ContextFolder

OpenFolder = Callable[..., ContextFolder]


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[OpenFolder]:
    """Opens context folders below `tmp_path`; opening one that is open closes it first."""
    opened: dict[str, ContextFolder] = {}

    def open_one(name: str = "desktop", **options: Any) -> ContextFolder:
        if name in opened:
            opened.pop(name).close()
        folder = tmp_path / name / "context"
        options = {"author": name, **options}
        opened[name] = ContextFolder(folder, state=tmp_path / name / "state", **options)
        return opened[name]

    yield open_one
    for folder in opened.values():
        folder.close()


@pytest.fixture
def folder(open_folder: OpenFolder) -> ContextFolder:
    return open_folder()
