from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

import pytest
from orchestrator_core.engine.saved_prefix import (
    KEPT_FILES,
    PrefixFile,
    SavedPrefix,
    fingerprint,
)

PREFIX = SavedPrefix(tokens=list(range(100)), state=os.urandom(5000) + b"\n" + os.urandom(10))


def saved(folder: Path, identity: str = "model") -> PrefixFile:
    file = PrefixFile(folder, identity)
    file.write(PREFIX)
    return file


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    saved(tmp_path / "engine")
    assert PrefixFile(tmp_path / "engine", "model").read() == PREFIX


def test_nothing_saved_is_nothing_read(tmp_path: Path) -> None:
    assert PrefixFile(tmp_path, "model").read() is None


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    file = saved(tmp_path / "engine")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_another_model_or_build_has_a_file_of_its_own(tmp_path: Path) -> None:
    saved(tmp_path)
    assert PrefixFile(tmp_path, "other").read() is None
    assert PrefixFile(tmp_path, "model").read() == PREFIX


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[:40],
        lambda data: b"",
        lambda data: b"GGUF" + data,
        lambda data: data.replace(b'"tokens"', b'"tokenz"'),
        lambda data: data.replace(b'"key": "', b'"key": "x'),
    ],
)
def test_a_damaged_or_foreign_file_is_ignored_removed_and_mentioned(
    tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved(tmp_path)
    file.path.write_bytes(damage(file.path.read_bytes()))  # type: ignore[operator]
    with caplog.at_level(logging.WARNING):
        assert file.read() is None
    assert not file.path.exists()
    assert "removing it" in caplog.text


def test_only_the_newest_files_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT_FILES + 2):
        file = saved(tmp_path, f"model {number}")
        os.utime(file.path, (number, number))
    last = saved(tmp_path, "last")
    assert last.path in set(tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == KEPT_FILES


def test_a_short_prefix_is_not_worth_a_file(tmp_path: Path) -> None:
    file = PrefixFile(tmp_path, "model")
    file.write(SavedPrefix([1, 2, 3], b"x"))
    assert not file.path.exists()


def test_a_full_disk_is_logged_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = saved(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    file.write(SavedPrefix(list(range(200)), b"new"))
    assert "No space left" in caplog.text
    assert file.read() == PREFIX
    assert [path.name for path in tmp_path.iterdir()] == [file.path.name]


def test_a_folder_that_cannot_be_written_is_logged_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "engine").write_text("in the way")
    file = PrefixFile(tmp_path / "engine", "model")
    file.write(PREFIX)
    assert "could not be saved" in caplog.text
    assert file.read() is None


def test_a_fingerprint_changes_with_beginning_end_size_and_adapter(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a" * 3_000_000)
    prints = {fingerprint(str(one), None)}
    for content in (b"b" + b"a" * 2_999_999, b"a" * 2_999_999 + b"b", b"a" * 2_999_999):
        two.write_bytes(content)
        prints.add(fingerprint(str(two), None))
    prints.add(fingerprint(str(one), str(two)))
    assert len(prints) == 5
