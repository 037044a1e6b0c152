"""The archive: a gzipped tar whose first member lists every file with its size and checksum.

It proves that what comes out is what went in; it does not prove who made it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Annotated

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from orchestrator_core.errors import BackupDamaged, BackupFromFuture

FORMAT = 1
MANIFEST = "manifest.json"

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
"""Some hundred thousand files: more than a history of years has."""

_CHUNK = 1024 * 1024


def _inside(path: str) -> str:
    """A relative path in its plain form, or ValueError: a file must come out where it belongs."""
    plain = PurePosixPath(path)
    unsafe = plain.is_absolute() or ".." in plain.parts or not plain.parts
    if unsafe or str(plain) != path or "\0" in path or "\\" in path or ":" in plain.parts[0]:
        raise ValueError("not a plain relative path")
    return path


InnerPath = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_inside)]


class FileEntry(BaseModel):
    """One file: path with `/`, size in bytes, SHA-256 in hex, permission bits, time of change."""

    path: InnerPath
    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    mode: int = Field(ge=0, le=0o777)
    modified: float


class BackupManifest(BaseModel):
    """What an archive says of itself. `program` is the version that wrote it."""

    format: int
    created_at: str
    program: str
    replica: str | None = None
    folders: list[InnerPath]
    files: list[FileEntry]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)


def describe(folder: Path, *, created_at: str, program: str, replica: str | None) -> BackupManifest:
    """The manifest of what is in a folder now."""
    folders: list[str] = []
    files: list[FileEntry] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir():
            folders.append(name)
            continue
        status = path.stat()
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        files.append(
            FileEntry(
                path=name,
                size=status.st_size,
                sha256=digest,
                mode=status.st_mode & 0o777,
                modified=status.st_mtime,
            )
        )
    return BackupManifest(
        format=FORMAT, created_at=created_at, program=program, replica=replica, folders=folders, files=files
    )


def write_archive(folder: Path, manifest: BackupManifest, file: IO[bytes]) -> None:
    """Write the files of the manifest from `folder`.

    Raises:
        OSError.
    """
    with (
        gzip.GzipFile("", fileobj=file, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        content = manifest.model_dump_json().encode()
        _add(tar, MANIFEST, len(content), 0o600, 0.0, io.BytesIO(content))
        for entry in manifest.files:
            with (folder / entry.path).open("rb") as source:
                _add(tar, entry.path, entry.size, entry.mode, entry.modified, source)


Take = Callable[[FileEntry, Iterator[bytes]], None]
"""Receives a file's content piece by piece, and must read all of it."""


def read_archive(
    path: Path, take: Take, *, seen: Callable[[BackupManifest], None] = lambda manifest: None
) -> BackupManifest:
    """Read an archive to its end, handing out every file; returns what it says of itself.

    A file's content is verified when all of it was handed out, the whole archive only when this
    returns: what was taken must not be used before.

    Args:
        seen: called with the manifest before the first file.

    Raises:
        BackupDamaged: a byte is wrong, missing or too much, or a name would lead elsewhere.
        BackupFromFuture: the format is newer than this program. OSError: it cannot be read.
    """
    try:
        with gzip.open(path) as packed, tarfile.open(fileobj=packed, mode="r|") as tar:
            manifest = _manifest(path, tar)
            seen(manifest)
            waiting = {entry.path: entry for entry in manifest.files}
            if len(waiting) != len(manifest.files):
                raise _damaged(path, "it lists a file twice")
            while (member := tar.next()) is not None:
                entry = waiting.pop(member.name, None)
                if entry is None or not member.isreg() or member.size != entry.size:
                    raise _damaged(path, f"{member.name[:200]!r} is not as its list says")
                content = tar.extractfile(member)
                assert content is not None
                take(entry, _verified(path, entry, content))
            if waiting:
                raise _damaged(path, f"{next(iter(waiting))!r} is missing")
            # gzip's own checksum stands at the very end.
            while packed.read(_CHUNK):
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise _damaged(path, str(error) or type(error).__name__) from error
    return manifest


def check_archive(path: Path) -> BackupManifest:
    """Verify every byte of an archive; raises as `read_archive`."""

    def take(entry: FileEntry, content: Iterator[bytes]) -> None:
        for _ in content:
            pass

    return read_archive(path, take)


def _manifest(path: Path, tar: tarfile.TarFile) -> BackupManifest:
    member = tar.next()
    if member is None or member.name != MANIFEST or not member.isreg():
        raise _damaged(path, "it does not begin with a list of its files")
    if member.size > MAX_MANIFEST_BYTES:
        raise _damaged(path, f"its list of files has {member.size} bytes")
    file = tar.extractfile(member)
    assert file is not None
    content = file.read()
    try:
        _refuse_future(path, _Version.model_validate_json(content))
        return BackupManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, f"its list of files: {where}: {first['msg']}") from error


class _Version(BaseModel):
    format: int
    program: str = "a newer version"


def _refuse_future(path: Path, version: _Version) -> None:
    if version.format > FORMAT:
        raise BackupFromFuture(
            f"{path.name} has the format {version.format}, written by version {version.program}; this program"
            f" knows formats up to {FORMAT}.",
            hint="Update the program, then restore. Nothing was changed.",
        )


def _verified(path: Path, entry: FileEntry, file: IO[bytes]) -> Iterator[bytes]:
    digest = hashlib.sha256()
    while piece := file.read(_CHUNK):
        digest.update(piece)
        yield piece
    if digest.hexdigest() != entry.sha256:
        raise _damaged(path, f"the checksum of {entry.path!r} is wrong")


def _add(tar: tarfile.TarFile, name: str, size: int, mode: int, modified: float, file: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, mode, modified
    tar.addfile(member, file)


def _damaged(path: Path, detail: str) -> BackupDamaged:
    return BackupDamaged(
        f"{path.name} is damaged, or no backup of this program: {detail}.",
        hint="Take another backup. Nothing was changed.",
    )
