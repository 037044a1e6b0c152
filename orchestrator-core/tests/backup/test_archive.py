"""The archive: every wrong byte is noticed, and nothing leads out of where it belongs."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orchestrator_core.backup.archive import FORMAT, check_archive, describe, read_archive, write_archive
from orchestrator_core.errors import BackupDamaged, BackupFromFuture

CONTENT = {"data/memory.db": b"m" * 3000, "data/context/a b.md": "ä\n".encode(), "data/empty": b""}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for name, content in CONTENT.items():
        (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / name).write_bytes(content)
    (folder / "files" / "data" / "refs").mkdir()
    manifest = describe(folder / "files", created_at="2026-01-02T03:04:05Z", program="1", replica="r")
    path = folder / "backup.tar.gz"
    with path.open("wb") as file:
        write_archive(folder / "files", manifest, file)
    return path


def contents(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    read_archive(path, lambda entry, pieces: found.update({entry.path: b"".join(pieces)}))
    return found


def made(path: Path, members: dict[str, bytes], **changes: Any) -> Path:
    """An archive with these members whose list agrees with them, but for `changes`."""
    listed = [
        {
            "path": name,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "mode": 0o600,
            "modified": 0,
        }
        for name, content in members.items()
    ]
    manifest = {
        "format": FORMAT,
        "created_at": "x",
        "program": "9",
        "folders": [],
        "files": listed,
        **changes,
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {"manifest.json": json.dumps(manifest).encode(), **members}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_what_goes_in_comes_out(archive: Path):
    assert contents(archive) == CONTENT
    manifest = check_archive(archive)
    assert "data/refs" in manifest.folders
    assert (manifest.size, manifest.replica) == (sum(map(len, CONTENT.values())), "r")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_or_changes_nothing(archive: Path, tmp_path: Path, place: float, bit: int):
    """Some bits mean nothing: padding, gzip's note of the system, codes that are not used."""
    content = bytearray(archive.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(content)
    try:
        found = contents(damaged)
    except (BackupDamaged, BackupFromFuture):
        return
    assert found == CONTENT
    assert gzip.decompress(content) == gzip.decompress(archive.read_bytes())


def test_wrong_content_is_noticed_wherever_it_is(archive: Path, tmp_path: Path):
    plain = gzip.decompress(archive.read_bytes())
    damaged = tmp_path / "damaged.tar.gz"
    for place in [plain.index(b"m" * 100), plain.index("ä".encode()), plain.index(b'"created_at"') + 1]:
        wrong = plain[:place] + bytes([plain[place] ^ 1]) + plain[place + 1 :]
        damaged.write_bytes(gzip.compress(wrong))
        with pytest.raises(BackupDamaged):
            check_archive(damaged)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(kept=st.floats(0, 1, exclude_max=True))
def test_a_truncated_archive_is_noticed(archive: Path, tmp_path: Path, kept: float):
    content = archive.read_bytes()
    damaged = tmp_path / "short.tar.gz"
    damaged.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(BackupDamaged):
        check_archive(damaged)


@pytest.mark.parametrize(
    "name",
    [
        "../outside", "data/../../outside", "/etc/passwd", "data//x", "./data/x", "data/x/..", "C:/x",
        "data\\..\\x", "nul\0byte", "data/./x",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str):
    with pytest.raises(BackupDamaged, match="plain relative path"):
        check_archive(made(tmp_path / "a.tar.gz", {name: b"x"}))
    with pytest.raises(BackupDamaged, match="plain relative path"):
        check_archive(made(tmp_path / "a.tar.gz", {}, folders=[name]))


def _symlink(member: tarfile.TarInfo) -> None:
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"


def _hard_link(member: tarfile.TarInfo) -> None:
    member.type, member.linkname = tarfile.LNKTYPE, "manifest.json"


def _device(member: tarfile.TarInfo) -> None:
    member.type = tarfile.CHRTYPE


@pytest.mark.parametrize("change", [_symlink, _hard_link, _device])
def test_links_and_devices_are_refused(tmp_path: Path, change: Callable[[tarfile.TarInfo], None]):
    empty = hashlib.sha256(b"").hexdigest()
    entry = {"path": "data/x", "size": 0, "sha256": empty, "mode": 0o600, "modified": 0}
    manifest = {"format": 1, "created_at": "x", "program": "9", "folders": [], "files": [entry]}
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        content = json.dumps(manifest).encode()
        member = tarfile.TarInfo("manifest.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
        member = tarfile.TarInfo("data/x")
        change(member)
        tar.addfile(member)
    with pytest.raises(BackupDamaged, match="not as its list says"):
        check_archive(path)


def test_what_the_list_does_not_have_or_has_too_much_is_refused(tmp_path: Path):
    with pytest.raises(BackupDamaged, match="not as its list says"):
        check_archive(made(tmp_path / "a.tar.gz", {"data/x": b"x"}, files=[]))
    entry = {"path": "data/x", "size": 1, "sha256": "0" * 64, "mode": 0, "modified": 0}
    with pytest.raises(BackupDamaged, match="'data/x' is missing"):
        check_archive(made(tmp_path / "a.tar.gz", {}, files=[entry]))
    with pytest.raises(BackupDamaged, match="lists a file twice"):
        check_archive(made(tmp_path / "a.tar.gz", {}, files=[entry, entry]))
    with pytest.raises(BackupDamaged, match="checksum of 'data/x'"):
        check_archive(made(tmp_path / "a.tar.gz", {"data/x": b"x"}, files=[entry]))


def test_a_newer_format_is_refused_whatever_else_it_holds(tmp_path: Path):
    path = made(tmp_path / "a.tar.gz", {}, format=FORMAT + 1, files="another shape")
    with pytest.raises(BackupFromFuture, match="written by version 9"):
        check_archive(path)


@pytest.mark.parametrize(
    "content", [b"", b"hello", gzip.compress(b"", mtime=0), gzip.compress(b"hello" * 999, mtime=0)]
)
def test_another_file_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "other.tar.gz"
    path.write_bytes(content)
    with pytest.raises(BackupDamaged):
        check_archive(path)
