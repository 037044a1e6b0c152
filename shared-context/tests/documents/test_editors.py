"""Real programs saving a document in their own ways, while the folder is watched."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_context.documents.context_folder import ContextFolder
from support.terminal_session import TerminalSession
from support.waiting import wait_until

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"
PATIENCE_S = 20.0
CTRL_O, CTRL_S, CTRL_X = "\x0f", "\x13", "\x18"

START = "# Now\n\nold line\n\nlast\n"


class Watched:
    """A watched folder and what its subscriber was told."""

    def __init__(self, folder: ContextFolder) -> None:
        self.folder = folder
        self.file = folder.folder / BRIEFING
        self.told: queue.Queue[tuple[str, ...]] = queue.Queue()
        folder.on_change(self.told.put)

    def text_in_memory(self) -> str:
        """Without looking at the disk: what the watcher took in."""
        with self.folder._store.lock:
            state = self.folder._store.memory.state(BRIEFING)
            assert state is not None
            return state.text

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.text_in_memory() != text:
            remaining = deadline - time.monotonic()
            assert remaining > 0, f"the memory still has {self.text_in_memory()!r}"
            try:
                self.told.get(timeout=min(remaining, 1.0))
            except queue.Empty:
                continue


@pytest.fixture
def watched(folder: ContextFolder) -> Iterator[Watched]:
    folder.edit(BRIEFING, START, base_version=None)
    yield Watched(folder)


def shell(script: str, watched: Watched) -> None:
    subprocess.run(["sh", "-c", script], cwd=watched.folder.folder, check=True, timeout=30)


def shell_output(script: str, watched: Watched) -> str:
    command = ["sh", "-c", script]
    return subprocess.run(
        command, cwd=watched.folder.folder, check=True, timeout=30, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (f"sed -i 's/old/new/' {BRIEFING}", START.replace("old", "new")),
        (f"echo appended >> {BRIEFING}", START + "appended\n"),
        (f"printf 'all new' > {BRIEFING}", "all new"),
        (f"printf 'copied\\n' > x.tmp && cp x.tmp {BRIEFING}", "copied\n"),
        (f"printf 'moved\\n' > x.tmp && mv x.tmp {BRIEFING}", "moved\n"),
        (f"printf 'one\\n' > {BRIEFING}; printf 'two\\n' > {BRIEFING}", "two\n"),
        (f"for i in 1 2 3 4 5; do echo $i >> {BRIEFING}; done", START + "1\n2\n3\n4\n5\n"),
        (f"rm {BRIEFING}; printf 'anew\\n' > {BRIEFING}", "anew\n"),
        (f": > {BRIEFING}", ""),
    ],
)
def test_the_shells_ways_of_saving_are_noticed(watched: Watched, script: str, text: str) -> None:
    shell(script, watched)
    watched.wait_for(text)
    assert watched.file.read_text() == text


@pytest.mark.skipif(shutil.which("vim") is None, reason="needs vim")
@pytest.mark.parametrize("backup", ["backupcopy=no", "backupcopy=yes"])
def test_vim_saves_by_renaming_or_in_place(watched: Watched, backup: str) -> None:
    keys = ["+set writebackup " + backup, "+%s/old/new/", "+wq"]
    command = ["vim", "-u", "NONE", "-i", "NONE", "-es", *keys, str(watched.file)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=30)
    text = START.replace("old", "new")
    watched.wait_for(text)
    assert watched.file.read_text() == text


@pytest.mark.skipif(shutil.which("nano") is None, reason="needs nano")
@pytest.mark.parametrize("options", [[], ["--backup"]], ids=["plain", "backup"])
def test_nano_saves_in_place(watched: Watched, tmp_path: Path, options: list[str]) -> None:
    command = ["nano", "--ignorercfiles", *options, "+1", str(watched.file)]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    with TerminalSession(command, env) as nano:
        nano.expect("old line")
        nano.type("typed ")
        nano.expect("typed")
        nano.type(CTRL_O)
        nano.expect("Write")
        nano.enter()
        nano.expect("Wrote 5 lines")
        watched.wait_for("typed " + START)
        nano.type("again ")
        nano.expect("again")
        nano.type(CTRL_S)
        nano.expect("Wrote 5 lines")
        watched.wait_for("typed again " + START)
        nano.type(CTRL_X)
        assert nano.wait() == 0
    assert watched.file.read_text() == "typed again " + START


@pytest.mark.parametrize("pause_s", [0.0, 0.03, 0.15])
def test_vs_codes_way_of_truncating_and_then_writing_is_one_save(watched: Watched, pause_s: float) -> None:
    text = START.replace("old", "new")
    descriptor = os.open(watched.file, os.O_WRONLY | os.O_TRUNC)
    try:
        time.sleep(pause_s)  # Between the editor's two system calls.
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
    watched.wait_for(text)
    assert watched.file.read_text() == text
    versions = watched.folder.history(BRIEFING)
    texts = [watched.folder.text_at(BRIEFING, one.version) for one in versions]
    assert texts[0] == text and "" not in texts
    assert watched.folder.problems() == []


def test_a_git_checkout_in_the_users_own_repository_is_noticed(watched: Watched) -> None:
    git = "git -c user.name=x -c user.email=x@x {} && "
    script = "".join(git.format(part) for part in ("init -q", f"add {BRIEFING}", "commit -qm 1"))
    script += f"echo later >> {BRIEFING} && " + git.format("commit -qam 2") + "true"
    shell(script, watched)
    watched.wait_for(START + "later\n")
    shell("git checkout -q HEAD~1", watched)
    watched.wait_for(START)


def test_a_git_checkout_of_another_version_of_all_documents_is_noticed(watched: Watched) -> None:
    git = "git -c user.name=x -c user.email=x@x {} && "
    script = "".join(git.format(part) for part in ("init -q", "add .", "commit -qm 1", "branch old"))
    script += f"echo later >> {BRIEFING} && echo later >> {LOG} && " + git.format("commit -qam 2") + "true"
    before = watched.folder.document(LOG).text
    shell(script, watched)
    watched.wait_for(START + "later\n")
    own = shell_output("git log --format=%s", watched)
    shell("git checkout -q old", watched)
    watched.wait_for(START)
    assert watched.folder.document(LOG).text == before
    # Their repository is theirs: nothing of ours is in it.
    assert shell_output("git log --format=%s --all", watched) == own == "2\n1\n"
    assert shell_output("git status --porcelain", watched) == ""


def test_two_saves_within_ten_milliseconds_end_in_the_second(watched: Watched) -> None:
    for number in range(10):
        watched.file.write_text(f"first  {number}\n")
        watched.file.write_text(f"second {number}\n")
        watched.wait_for(f"second {number}\n")


def test_two_saves_through_a_rename_within_ten_milliseconds_end_in_the_second(watched: Watched) -> None:
    for number in range(10):
        for text in (f"first  {number}\n", f"second {number}\n"):
            fresh = watched.file.with_name("fresh.tmp")
            fresh.write_text(text)
            fresh.replace(watched.file)
        watched.wait_for(f"second {number}\n")


def test_a_save_of_equal_size_right_after_reading_is_not_missed(folder: ContextFolder) -> None:
    file = folder.folder / BRIEFING
    for number in range(30):
        file.write_text(f"{number:04}\n")
        assert folder.document(BRIEFING).text == f"{number:04}\n"


def test_a_file_that_is_truncated_and_written_later_never_counts_as_empty(folder: ContextFolder) -> None:
    folder.edit(BRIEFING, START, base_version=None)
    file = folder.folder / BRIEFING
    truncated = threading.Event()

    def save_slowly() -> None:
        with file.open("w") as writing:
            truncated.set()
            time.sleep(0.05)  # The editor's own pause, which the reading has to sit out.
            writing.write("written\n")

    editor = threading.Thread(target=save_slowly)
    editor.start()
    assert truncated.wait(PATIENCE_S)
    assert folder.document(BRIEFING).text == "written\n"
    editor.join()
    assert len(folder.history(BRIEFING)) == 3


def test_a_change_by_the_program_itself_is_told_and_not_read_back_as_an_edit(watched: Watched) -> None:
    watched.folder.append_entry("entry")
    told = watched.told.get(timeout=PATIENCE_S)
    assert told == (LOG,)
    versions = len(watched.folder.history(LOG))
    watched.file.write_text("a later change\n")
    watched.wait_for("a later change\n")
    assert len(watched.folder.history(LOG)) == versions


def test_a_document_deleted_while_watched_is_restored(watched: Watched) -> None:
    watched.file.unlink()
    wait_until(watched.file.exists)
    assert watched.file.read_text() == START
    assert any("restored" in problem for problem in watched.folder.problems())


def test_a_folder_deleted_while_watched_is_restored_and_watched_again(watched: Watched) -> None:
    shutil.rmtree(watched.folder.folder)
    wait_until(lambda: watched.file.exists() and (watched.folder.folder / LOG).exists())
    wait_until(lambda: not watched.folder._store.unsettled())
    watched.file.write_text("after all\n")
    watched.wait_for("after all\n")


def test_an_edit_of_another_program_and_one_of_ours_are_merged(watched: Watched) -> None:
    base = watched.folder.document(BRIEFING)
    watched.file.write_text(START.replace("# Now", "# By an editor"))
    edited = watched.folder.edit(BRIEFING, START.replace("last", "by us"), base_version=base.version)
    assert edited.text == "# By an editor\n\nold line\n\nby us\n"
    assert watched.file.read_text() == edited.text


def test_programs_appending_by_themselves_and_through_us_lose_nothing(watched: Watched) -> None:
    log = watched.folder.folder / LOG
    script = f"for i in $(seq 40); do printf 'shell %s\\n' $i >> {LOG}; sleep 0.02; done"
    process = subprocess.Popen(["sh", "-c", script], cwd=watched.folder.folder)
    ids = []
    while process.poll() is None:
        ids.append(watched.folder.append_entry(f"ours {len(ids)}")[1])
    assert process.returncode == 0
    text = watched.folder.document(LOG).text
    assert log.read_text() == text
    assert [i for i in range(1, 41) if f"shell {i}\n" not in text] == []
    assert [i for i, _ in enumerate(ids) if f"\nours {i}\n" not in text] == []


def test_a_subscriber_that_left_is_told_no_more(watched: Watched) -> None:
    told: list[tuple[str, ...]] = []
    leave = watched.folder.on_change(told.append)
    leave()
    leave()
    watched.file.write_text("x\n")
    watched.wait_for("x\n")
    assert told == []


def test_a_subscriber_that_fails_does_not_stop_the_others(watched: Watched) -> None:
    def fail(names: tuple[str, ...]) -> None:
        raise RuntimeError("subscriber")

    watched.folder.on_change(fail)
    for text in ("x\n", "y\n"):
        watched.file.write_text(text)
        watched.wait_for(text)


def test_a_subscriber_may_ask_and_edit(watched: Watched) -> None:
    done: queue.Queue[str] = queue.Queue()

    def reply(names: tuple[str, ...]) -> None:
        if names == (BRIEFING,):
            done.put(watched.folder.append_entry("saw it")[0].text)

    watched.folder.on_change(reply)
    watched.file.write_text("x\n")
    assert "saw it" in done.get(timeout=PATIENCE_S)


def test_nothing_runs_without_a_subscriber_and_all_threads_end_on_close(folder: ContextFolder) -> None:
    def names() -> set[str]:
        return {thread.name for thread in threading.enumerate()}

    assert "documents-watcher" not in names()
    folder.on_change(lambda names: None)
    assert "documents-watcher" in names()
    folder.close()
    assert not {name for name in names() if "documents" in name or "inotify" in name.lower()}


def test_an_idle_watcher_sleeps(watched: Watched) -> None:
    watcher = watched.folder._subscribers._watcher
    assert watcher is not None
    wait_until(lambda: not watched.folder._store.unsettled() and watcher._pause() is None)
    looks: list[None] = []
    original = watcher._look
    watcher._look = lambda: (looks.append(None), original())[1]
    wall, work = time.monotonic(), time.process_time()
    time.sleep(0.5)  # Nothing to wait for: this is about what does not happen.
    assert looks == []
    assert time.process_time() - work < (time.monotonic() - wall) / 2


def test_reading_is_cheap_when_nothing_changed(
    folder: ContextFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait_until(lambda: bool(folder.documents()) and not folder._store.unsettled())
    expected = folder.documents()

    def refuse(*arguments: object) -> None:
        raise AssertionError("a file was read")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(os, "open", refuse)
    assert folder.documents() == expected


WITHOUT_WATCHERS = """
import sys, time
from pathlib import Path
from shared_context.documents.context_folder import ContextFolder

limit = Path("/proc/sys/user/max_inotify_instances")
limit.write_text("0")
folder = ContextFolder(Path(sys.argv[1]) / "context", state=Path(sys.argv[1]) / "state")
folder.on_change(lambda names: None)
assert any("would not watch" in problem for problem in folder.problems()), folder.problems()
(folder.folder / "SESSION_BRIEFING.md").write_text("read all the same\\n")
assert folder.document("SESSION_BRIEFING.md").text == "read all the same\\n"
limit.write_text("8")
folder._subscribers._watcher.look_soon()
until = time.monotonic() + 30
while folder.problems() and time.monotonic() < until:
    time.sleep(0.05)
print(folder.problems())
folder.close()
"""


def test_documents_are_read_where_the_system_has_no_watcher_left_and_watched_once_it_has(
    tmp_path: Path,
) -> None:
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", WITHOUT_WATCHERS, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if ended.returncode and "unshare" in ended.stderr:
        pytest.skip("this user may not make a user namespace")
    assert ended.stdout.strip() == "[]", ended.stderr
