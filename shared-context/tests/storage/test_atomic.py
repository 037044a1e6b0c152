from __future__ import annotations

import os
from pathlib import Path

import pytest
from shared_context.storage import atomic
from shared_context.storage.atomic import FormerFile, clear_left_over, left_over, replace_file


@pytest.fixture(params=["exchange", "no exchange"], autouse=True)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the system's exchange of names, and as on systems that have none."""
    if request.param == "no exchange":
        monkeypatch.setattr(atomic, "_renameat2", None)
    elif atomic._renameat2 is None:
        pytest.skip("this system cannot exchange two names")


def test_a_new_file_is_made(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    assert replace_file(file, b"new", None)
    assert file.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def test_a_file_keeps_its_mode_and_gets_a_new_time(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"old")
    file.chmod(0o604)
    os.utime(file, (1, 1))
    assert replace_file(file, b"new", b"old")
    clear_left_over(file)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o604)
    assert file.stat().st_mtime > 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def test_content_nobody_expected_is_left_over(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"saved meanwhile")
    assert not replace_file(file, b"new", b"old")
    rest = left_over(file)
    assert rest is not None and rest.read_bytes() == b"saved meanwhile"
    assert file.read_bytes() == b"new"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    assert not replace_file(
        file, b"new", None, lambda step: step == "file-prepared" and file.write_bytes(b"theirs")
    )
    rest = left_over(file)
    assert rest is not None and rest.read_bytes() == b"theirs"


def test_a_file_that_disappears_meanwhile_is_made(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"old")
    assert replace_file(file, b"new", b"old", lambda step: step == "file-prepared" and file.unlink())
    assert file.read_bytes() == b"new"


def test_a_failure_leaves_the_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"old")

    def fail(step: str) -> None:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        replace_file(file, b"new", b"old", fail)
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.md"]


def test_what_is_written_to_a_former_file_is_found(tmp_path: Path) -> None:
    file = tmp_path / "a.md"
    file.write_bytes(b"old\n")
    with file.open("ab") as late:
        assert replace_file(file, b"new\n", b"old\n")
        rest = left_over(file)
        if rest is None or atomic._renameat2 is None:
            pytest.skip("without an exchange the former file is gone")
        former = FormerFile(rest, b"old\n")
        clear_left_over(file)
        assert former.late_content() is None
        late.write(b"late\n")
    assert former.late_content() == b"old\nlate\n"
    former.close()
