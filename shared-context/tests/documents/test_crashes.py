"""kill -9 after each durable step of a change, then a start: file, memory and history agree."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.store import STEPS

OpenFolder = Callable[..., ContextFolder]

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"

VICTIMS = """
import os, shutil, signal, sys
from pathlib import Path
from shared_context.documents.context_folder import ContextFolder

action, count, template, *roots = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), *map(Path, sys.argv[4:])

def perform(root, fatal_step):
    armed, reached, saved = False, 0, False

    def step(name):
        nonlocal reached, saved
        if action == "race" and armed and name == "file-prepared" and not saved:
            # An editor saves between the look at the file and its replacement.
            saved = True
            (root / "context/SESSION_BRIEFING.md").write_text("head\\nline\\ntail\\nsaved just then\\n")
        if armed and name == fatal_step:
            reached += 1
            if reached == count:
                os.kill(os.getpid(), signal.SIGKILL)

    folder = ContextFolder(root / "context", state=root / "state", author="desktop", step=step)
    armed = True
    if action == "edit":
        folder.edit("SESSION_BRIEFING.md", "head\\nedited\\ntail\\n", base_version=None)
    elif action == "append":
        folder.append_entry("appended", entry_id="e1")
    elif action == "disk":
        (root / "context/SESSION_BRIEFING.md").write_text("head\\nline\\ntail\\nfrom disk\\n")
        folder.documents()
    elif action == "merge":
        base = folder.document("SESSION_BRIEFING.md").version
        folder.edit("SESSION_BRIEFING.md", "HEAD\\nline\\ntail\\n", base_version=base)
        folder.edit("SESSION_BRIEFING.md", "head\\nline\\nTAIL\\n", base_version=base)
    elif action == "update":
        folder.apply_update((root / "update").read_bytes(), author="phone")
    elif action == "race":
        folder.edit("SESSION_BRIEFING.md", "edited\\nline\\ntail\\n", base_version=None)

for root in roots:
    shutil.copytree(template, root)
    child = os.fork()
    if child == 0:
        perform(root, root.name)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    print("killed" if status else "survived")
"""

START = "head\nline\ntail\n"

OUTCOMES = {
    "edit": ("head\nedited\ntail\n",),
    "append": (START,),
    "disk": (START + "from disk\n",),
    # Killed in the first of the two edits, the second was never made.
    "merge": ("HEAD\nline\nTAIL\n", "HEAD\nline\ntail\n"),
    "update": ("head\nline\nfrom the phone\ntail\n",),
    "race": ("edited\nline\ntail\nsaved just then\n",),
}


UNREACHED = {("disk", step) for step in STEPS if step.startswith("file-")}
"""What came from the disk unchanged is not written there again."""


@pytest.fixture
def template(open_folder: OpenFolder, tmp_path: Path) -> Path:
    folder = open_folder()
    folder.edit(BRIEFING, START, base_version=None)
    phone = open_folder("phone", starters=False)
    phone.apply_update(folder.update_since(), author="desktop")
    vector = phone.state_vector()
    phone.edit(BRIEFING, "head\nline\nfrom the phone\ntail\n", base_version=None)
    (tmp_path / "desktop" / "update").write_bytes(phone.update_since(vector))
    folder.close()
    return tmp_path / "desktop"


def kill(action: str, template: Path, roots: list[Path], count: int = 1) -> list[bool]:
    """Do the action in a copy of the template at each root and kill the process when it comes to
    the step the root is named for, the `count`th time; whether each was killed."""
    command = [sys.executable, "-c", VICTIMS, action, str(count), *map(str, [template, *roots])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return [line == "killed" for line in result.stdout.splitlines()]


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root / "state" / "history.git"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def check_agreement(root: Path, folder: ContextFolder) -> None:
    documents = folder.documents()
    everything = [version for document in documents for version in folder.history(document.name)]
    assert int(git(root, "rev-list", "--count", "main")) == len(everything)
    for document in documents:
        assert (root / "context" / document.name).read_text() == document.text
        assert git(root, "show", f"main:{document.name}") == document.text
        versions = [version.version for version in folder.history(document.name)]
        commits = git(root, "rev-list", "--count", "main", "--", document.name)
        assert len(versions) == len(set(versions)) == int(commits)
        assert versions[0] == document.version
    assert folder.conflicts() == []
    assert git(root, "fsck", "--strict") == ""
    names = sorted(document.name for document in documents)
    assert sorted(path.name for path in (root / "context").iterdir()) == names


@pytest.mark.parametrize("action", OUTCOMES)
def test_after_a_kill_at_any_step_file_memory_and_history_agree(
    template: Path, open_folder: OpenFolder, tmp_path: Path, action: str
) -> None:
    roots = [tmp_path / action / step for step in STEPS]
    for root, killed in zip(roots, kill(action, template, roots), strict=True):
        assert killed != ((action, root.name) in UNREACHED)
        folder = open_folder(f"{action}/{root.name}", author="desktop")
        text = folder.document(BRIEFING).text
        saved = not (action == "race" and root.name == "change-stored")
        assert text in (OUTCOMES[action] if saved else ("edited\nline\ntail\n",))
        check_agreement(root, folder)
        if action == "append":
            log = folder.document(LOG).text
            assert log.count("<!-- entry:e1 -->") == log.count("\nappended\n") == 1
            assert folder.append_entry("appended", entry_id="e1")[0].text == log
        assert open_folder(f"{action}/{root.name}").document(BRIEFING).text == text


def test_a_kill_in_the_second_of_two_edits_keeps_the_first(
    template: Path, open_folder: OpenFolder, tmp_path: Path
) -> None:
    roots = [tmp_path / "second" / step for step in ("change-stored", "file-replaced", "history-moved")]
    assert kill("merge", template, roots, count=2) == [True, True, True]
    for root in roots:
        folder = open_folder(f"second/{root.name}")
        assert folder.document(BRIEFING).text == "HEAD\nline\nTAIL\n"
        check_agreement(root, folder)


def test_a_kill_while_a_displaced_save_is_merged_merges_it_once(
    template: Path, open_folder: OpenFolder, tmp_path: Path
) -> None:
    roots = [tmp_path / "displaced" / step for step in STEPS]
    assert kill("race", template, roots, count=2) == [step != "file-seen" for step in STEPS]
    for root in roots:
        folder = open_folder(f"displaced/{root.name}", author="desktop")
        assert folder.document(BRIEFING).text == "edited\nline\ntail\nsaved just then\n"
        check_agreement(root, folder)


def test_a_half_written_new_file_is_thrown_away(template: Path, open_folder: OpenFolder) -> None:
    rest = template / "context" / f".{BRIEFING}.orchestrator-new"
    rest.write_text(START[:7])
    assert open_folder().document(BRIEFING).text == START
    assert not rest.exists()
