"""What replicas tell each other of their documents."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from shared_context.documents.context_folder import ContextFolder
from shared_context.errors import DocumentRejected
from shared_context.exchange.shared_documents import DocumentsSummary, SharedDocuments, decode, digest, encode

LOG = "SESSION_LOG.md"


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[tuple[ContextFolder, ContextFolder]]:
    desktop = ContextFolder(tmp_path / "d", state=tmp_path / "ds", author="desktop")
    vps = ContextFolder(tmp_path / "v", state=tmp_path / "vs", author="vps", starters=False)
    yield desktop, vps
    desktop.close()
    vps.close()


def test_equal_documents_have_equal_digests_and_nothing_to_send(
    folders: tuple[ContextFolder, ContextFolder],
) -> None:
    desktop, vps = map(SharedDocuments, folders)
    update = desktop.lacking(vps.summary())
    assert update is not None
    assert len(vps.context.apply_update(update, "desktop")) == 4
    assert vps.summary().digest == desktop.summary().digest
    assert desktop.lacking(vps.summary()) is None


def test_a_deletion_alone_changes_the_digest(folders: tuple[ContextFolder, ContextFolder]) -> None:
    folder = folders[0]
    shared = SharedDocuments(folder)
    folder.edit("SESSION_BRIEFING.md", "one\ntwo\nthree\n")
    before = shared.summary()
    folder.edit("SESSION_BRIEFING.md", "one\nthree\n")
    after = shared.summary()
    assert before.vector == after.vector and before.digest != after.digest


def test_the_digest_does_not_depend_on_how_deletions_are_written_down() -> None:
    # Clients 5 and 300 with clocks 2 and 9; of client 5 the ids 0 to 3 are deleted.
    vectors = b"\x02\x05\x02\xac\x02\x09", b"\x02\xac\x02\x09\x05\x02"
    deletions = b"\x00\x01\x05\x01\x00\x04", b"\x00\x01\x05\x02\x02\x02\x00\x02"
    digests = {digest(vector, deleted) for vector in vectors for deleted in deletions}
    assert len(digests) == 1
    assert digest(vectors[0], b"\x00\x01\x05\x01\x00\x03") not in digests


def test_damaged_updates_are_refused_and_change_nothing(folders: tuple[ContextFolder, ContextFolder]) -> None:
    desktop, vps = folders
    good = desktop.update_since(vps.state_vector())
    shared = SharedDocuments(vps)
    before = shared.summary()
    random.seed(7)
    refused = 0
    for _ in range(300):
        damaged = bytearray(good)
        damaged[random.randrange(60)] = random.randrange(256)
        damaged[random.randrange(len(damaged))] ^= 0x80
        try:
            shared.context.apply_update(bytes(damaged[: random.randrange(1, len(damaged))]), "stranger")
        except DocumentRejected:
            refused += 1
            assert shared.summary() == before
        else:
            before = shared.summary()
    assert refused > 200


def test_a_vector_that_is_none_is_refused(folders: tuple[ContextFolder, ContextFolder]) -> None:
    with pytest.raises(DocumentRejected):
        SharedDocuments(folders[0]).lacking(DocumentsSummary(b"\xff\xff\xff", "0" * 64))


def test_base64_that_is_none_is_refused() -> None:
    assert decode(encode(b"\x00\xff")) == b"\x00\xff"
    with pytest.raises(DocumentRejected):
        decode("Zg=")
