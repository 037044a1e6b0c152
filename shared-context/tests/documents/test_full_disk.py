"""A disk that fills up under a running memory, and one that is full when it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.document_names import BRIEFING, PORTFOLIO, PROJECT
from shared_context.errors import StoreFull
from support.small_disk import fill, small_disk


def test_documents_go_on_when_a_full_disk_has_room_again(tmp_path: Path) -> None:
    """The history, the files and the memory lie on disks of their own, and each fills up by itself."""
    for full in ("state", "context"):
        with small_disk(tmp_path / full, 6000) as disk:
            other = {"state": tmp_path / "s-other", "context": tmp_path / "c-other", full: disk}
            folder = ContextFolder(other["context"] / "c", state=other["state"] / "s")
            try:
                folder.edit(BRIEFING, "before\n")
                filler = fill(disk)
                for text in ("x" * 50_000, "y" * 50_000):
                    try:
                        folder.edit(PROJECT, text + "\n")
                    except StoreFull:
                        assert full == "state"
                    assert folder.document(BRIEFING).text == "before\n"
                if full == "context":
                    assert folder.document(PROJECT).text == "y" * 50_000 + "\n"
                    assert any("written" in problem for problem in folder.problems())
                filler.unlink()
                folder.edit(BRIEFING, "after\n")
                folder.documents()
                assert (other["context"] / "c" / BRIEFING).read_text() == "after\n"
                assert len((other["context"] / "c" / PROJECT).read_text()) == len(
                    folder.document(PROJECT).text
                )
                assert folder.history(BRIEFING)[0].version == folder.document(BRIEFING).version
                assert not any("history" in problem for problem in folder.problems())
            finally:
                folder.close()


@pytest.mark.parametrize(
    "lock", ["refs/heads/main.lock", "HEAD.lock", "packed-refs.lock", "objects/00/" + "1" * 38 + ".lock"]
)
def test_a_lock_that_a_failed_write_left_in_the_history_stops_nothing(tmp_path: Path, lock: str) -> None:
    folder = ContextFolder(tmp_path / "context", state=tmp_path / "state")
    try:
        left = tmp_path / "state" / "history.git" / lock
        left.parent.mkdir(parents=True, exist_ok=True)
        left.touch()
        for text in ("one\n", "two\n"):
            assert folder.edit(BRIEFING, text).text == text
        folder.edit(BRIEFING, "three\n")
        assert not any("history" in problem for problem in folder.problems())
        versions = folder.history(BRIEFING)
        assert folder.text_at(BRIEFING, versions[1].version) == "two\n"
    finally:
        folder.close()


def test_starters_that_did_not_fit_are_written_when_they_do(tmp_path: Path) -> None:
    with small_disk(tmp_path / "context", 64) as disk:
        filler = fill(disk)
        folder = ContextFolder(disk, state=tmp_path / "state")
        try:
            assert folder.document(PORTFOLIO).text
            assert any("could not be written" in problem for problem in folder.problems())
            filler.unlink()
            folder.documents()
            assert (disk / PORTFOLIO).read_text() == folder.document(PORTFOLIO).text
        finally:
            folder.close()
