"""Programs that had a document open when it was replaced."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.mirrored_file import REWRITES
from shared_context.storage import atomic

pytestmark = pytest.mark.skipif(atomic._renameat2 is None, reason="this system cannot exchange two names")

LOG = "SESSION_LOG.md"


def test_what_a_program_appends_to_a_file_that_was_just_replaced_is_kept(folder: ContextFolder) -> None:
    file = folder.folder / LOG
    with file.open("a") as late:
        folder.append_entry("ours")
        late.write("theirs\n")
    folder.append_entry("ours again")
    text = folder.document(LOG).text
    assert [text.count(part) for part in ("ours\n", "theirs\n", "ours again\n")] == [1, 1, 1]
    assert file.read_text() == text


def test_a_late_write_is_found_when_the_folder_closes(open_folder: Callable[[], ContextFolder]) -> None:
    folder = open_folder()
    with (folder.folder / LOG).open("a") as late:
        folder.append_entry("ours")
        late.write("theirs\n")
    text = open_folder().document(LOG).text
    assert "theirs\n" in text and "ours\n" in text


def test_nothing_is_lost_when_a_program_saves_at_each_attempt_to_write(
    open_folder: Callable[..., ContextFolder],
) -> None:
    saved: list[str] = []
    file: Path | None = None

    def save(step: str) -> None:
        if step == "file-prepared" and file is not None and len(saved) < REWRITES:
            saved.append(f"theirs {len(saved)}")
            with file.open("a") as appending:
                appending.write(saved[-1] + "\n")

    folder = open_folder(step=save)
    file = folder.folder / LOG
    folder.append_entry("ours")
    assert len(saved) == REWRITES
    text = folder.document(LOG).text
    assert [text.count(f"{line}\n") for line in (*saved, "ours")] == [1] * (REWRITES + 1)
    assert file.read_text() == text
