"""Packs the objects of the history: versions of one document as differences to a newer one.

A log grows by a few lines with each version; stored whole, a thousand versions take a hundred times what they
take as differences. A difference is what lies between the beginning and the end that two versions share, found
in one pass; a general search for differences takes minutes on large versions that have little in common.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from dulwich.object_store import DiskObjectStore
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.pack import Pack, UnpackedObject
from dulwich.repo import Repo

DEEPEST = 50
"""Differences in a row until a version is stored whole again; git's own limit."""

MANY_PACKS = 8
"""So many are made one again."""

_COPY_MOST = 0xFFFF
_INSERT_MOST = 0x7F


def pack_history(repo: Repo, branch: bytes) -> None:
    """Put the loose objects that `branch` reaches into a pack; all of its objects when there are many packs.

    Others may commit meanwhile: what is not in the pack stays loose.
    """
    store = repo.object_store
    assert isinstance(store, DiskObjectStore)
    old = store.packs if len(store.packs) >= MANY_PACKS else []
    wanted = (lambda _: True) if old else store.contains_loose
    others, versions = _reached(repo, branch, wanted)
    count = len(others) + sum(map(len, versions))
    if not count:
        return
    made = store.add_pack_data(count, _unpacked(store, others, versions))
    for name in (*others, *(name for names in versions for name in names)):
        if store.contains_loose(name):
            store.delete_loose_object(name)
    for pack in old:
        _remove(store, pack, made)


def _reached(
    repo: Repo, branch: bytes, wanted: Callable[[ObjectID], bool]
) -> tuple[list[ObjectID], list[list[ObjectID]]]:
    """Commits and folders, and the versions of each document, newest first, back to a commit not wanted."""
    store = repo.object_store
    others: dict[ObjectID, None] = {}
    versions: dict[str, dict[ObjectID, None]] = defaultdict(dict)

    def visit(tree: ObjectID, folder: str) -> None:
        if tree in others or not wanted(tree):
            return
        others[tree] = None
        entries = store[tree]
        assert isinstance(entries, Tree)
        for name, mode, each in entries.items():
            path = f"{folder}/{name.decode()}"
            if mode == 0o040000:
                visit(each, path)
            elif wanted(each) and not any(each in known for known in versions.values()):
                versions[path][each] = None

    at = repo.get_refs().get(branch)
    while at is not None and wanted(at):
        commit = store[at]
        assert isinstance(commit, Commit)
        others[at] = None
        visit(commit.tree, "")
        at = commit.parents[0] if commit.parents else None
    return list(others), [list(names) for names in versions.values()]


def _unpacked(
    store: DiskObjectStore, others: list[ObjectID], versions: list[list[ObjectID]]
) -> Iterator[UnpackedObject]:
    for name in others:
        yield _whole(store[name])
    for names in versions:
        newer: ShaFile | None = None
        for position, name in enumerate(names):
            version = store[name]
            if newer is None or position % DEEPEST == 0:
                yield _whole(version)
            else:
                yield _difference(newer, version)
            newer = version


def _whole(item: ShaFile) -> UnpackedObject:
    chunks = item.as_raw_chunks()
    return UnpackedObject(
        item.type_num, sha=item.sha().digest(), decomp_len=sum(map(len, chunks)), decomp_chunks=chunks
    )


def _difference(base: ShaFile, target: ShaFile) -> UnpackedObject:
    delta = difference(base.as_raw_string(), target.as_raw_string())
    return UnpackedObject(
        Blob.type_num,
        sha=target.sha().digest(),
        delta_base=base.sha().digest(),
        decomp_len=len(delta),
        decomp_chunks=[delta],
    )


def difference(base: bytes, target: bytes) -> bytes:
    """What makes `target` of `base`, as git writes it (gitformat-pack, "Deltified representation")."""
    head = _shared(base, target)
    tail = _shared(base[head:][::-1], target[head:][::-1])
    middle = target[head : len(target) - tail]
    parts = [_size(len(base)), _size(len(target)), *_copies(0, head)]
    for start in range(0, len(middle), _INSERT_MOST):
        piece = middle[start : start + _INSERT_MOST]
        parts.append(bytes([len(piece)]) + piece)
    return b"".join([*parts, *_copies(len(base) - tail, tail)])


def _shared(one: bytes, other: bytes) -> int:
    """Bytes that both begin with."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _size(number: int) -> bytes:
    digits = bytearray()
    while number >= 0x80:
        digits.append(0x80 | number & 0x7F)
        number >>= 7
    return bytes([*digits, number])


def _copies(offset: int, length: int) -> Iterator[bytes]:
    while length:
        size = min(length, _COPY_MOST)
        yield bytes([0x80 | 0x0F | 0x30]) + offset.to_bytes(4, "little") + size.to_bytes(2, "little")
        offset, length = offset + size, length - size


def _remove(store: DiskObjectStore, pack: Pack, unless: Pack | None) -> None:
    if unless is None or pack.name() != unless.name():
        store._remove_pack(pack)
