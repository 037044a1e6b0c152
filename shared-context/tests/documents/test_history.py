from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_context.documents.history import GitHistory, text_version


@pytest.fixture
def history(tmp_path: Path) -> Iterator[GitHistory]:
    opened = GitHistory(tmp_path / "history.git")
    yield opened
    opened.close()


def commit(
    history: GitHistory, number: int, path: str = "SESSION_LOG.md", change_id: str | None = None
) -> str:
    text = "".join(f"line {n}\n" for n in range(number + 1))
    history.commit(
        path,
        text.encode(),
        author="desktop",
        at=1e9 + number,
        summary=f"change {number}",
        change_id=change_id or str(number),
    )
    return text


def git(history: GitHistory, *arguments: str) -> str:
    command = ["git", "-C", str(history.folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_commit_repeated_after_a_crash_is_made_once(history: GitHistory) -> None:
    for change_id in ("a", "b", "b"):
        commit(history, 1, change_id=change_id)
    assert git(history, "rev-list", "--count", "main") == "2\n"


def test_documents_of_projects_lie_in_folders(history: GitHistory) -> None:
    for number, path in enumerate(
        ["SESSION_LOG.md", "a/SESSION_LOG.md", "b c/SESSION_LOG.md", "a/PROJECT_CONTEXT.md"]
    ):
        commit(history, number, path)
    assert git(history, "ls-tree", "-r", "--name-only", "main").splitlines() == [
        "SESSION_LOG.md",
        "a/PROJECT_CONTEXT.md",
        "a/SESSION_LOG.md",
        "b c/SESSION_LOG.md",
    ]
    assert git(history, "fsck", "--strict") == ""


def test_many_loose_objects_become_a_pack_while_commits_go_on(history: GitHistory) -> None:
    texts = [commit(history, number) for number in range(20)]
    assert not history.pack_when_loose(limit=1000)
    assert history.pack_when_loose(limit=10)
    texts.append(commit(history, 20))
    assert "count: 3\n" in git(history, "count-objects", "-v")
    assert [history.text(text_version(text)) for text in texts] == texts
    assert git(history, "fsck", "--strict") == ""
    assert git(history, "rev-list", "--count", "main") == "21\n"


def test_git_itself_may_pack_and_prune(history: GitHistory) -> None:
    text = commit(history, 3)
    git(history, "gc", "--quiet", "--prune=now")
    assert history.text(text_version(text)) == text
    commit(history, 4)
    assert git(history, "rev-list", "--count", "main") == "2\n"


def test_an_unknown_text_is_none(history: GitHistory) -> None:
    assert history.text(text_version("never")) is None
