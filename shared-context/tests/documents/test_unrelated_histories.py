"""A desktop that lost its past meets a replica that kept it: nothing doubled, nothing lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared_context.conversations.store import ConversationStore
from shared_context.documents.context_folder import DOCUMENT_NAMES, ContextFolder
from shared_context.documents.starters import starter_text
from shared_context.documents.state_vector import covers, entries_of
from shared_context.documents.unrelated_histories import joined
from shared_context.errors import DocumentRejected
from shared_context.exchange.exchange import Exchange, answer
from shared_context.exchange.replica import Replica
from shared_context.exchange.wire import SyncAnswer, SyncRequest

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"
STARTER = ["# Briefing", "", "What matters now.", ""]

lines = st.lists(st.sampled_from([*"abcdef", ""]), max_size=8).filter(lambda found: found != [""])


@contextmanager
def replica(folder: Path, *, starters: bool = True) -> Iterator[Replica]:
    folder.mkdir(exist_ok=True)
    with ExitStack() as open_things:
        store = open_things.enter_context(ConversationStore.open(folder / "memory.db"))
        context = ContextFolder(
            folder / "context", state=folder / "state", author=folder.name, starters=starters
        )
        open_things.callback(context.close)
        yield Replica(store, context, name=folder.name)


def exchange(caller: Replica, server: Replica) -> bool:
    run = Exchange(caller)
    while (request := run.next_request()) is not None:
        reply = answer(server, SyncRequest.model_validate_json(request.model_dump_json()))
        run.take(SyncAnswer.model_validate_json(reply.model_dump_json()))
    return run.report.complete


def folder_of(replica: Replica) -> ContextFolder:
    assert replica.documents is not None
    return replica.documents.context


def texts(replica: Replica) -> dict[str, str]:
    return {one.name: one.text for one in folder_of(replica).documents()}


@pytest.fixture
def vps(tmp_path: Path) -> Iterator[Replica]:
    """Knows what a desktop of old wrote."""
    with replica(tmp_path / "vps", starters=False) as vps:
        with replica(tmp_path / "desktop") as old:
            written = folder_of(old)
            written.edit(BRIEFING, "# Session briefing\n\nMy briefing.\n")
            for number in range(5):
                written.append_entry(f"entry {number}", entry_id=f"e{number}")
            assert exchange(old, vps)
        yield vps


def test_untouched_starters_of_a_new_desktop_give_way(tmp_path: Path, vps: Replica) -> None:
    before = texts(vps)
    with replica(tmp_path / "new") as new:
        assert exchange(new, vps)
        assert texts(new) == texts(vps) == before
        assert (folder_of(new).folder / BRIEFING).read_text() == before[BRIEFING]
        assert any("joined" in problem for problem in folder_of(new).problems())


def test_kept_files_without_their_database_are_not_doubled(tmp_path: Path, vps: Replica) -> None:
    before = texts(vps)
    shutil.rmtree(tmp_path / "desktop" / "state")
    briefing = tmp_path / "desktop" / "context" / BRIEFING
    briefing.write_text(briefing.read_text() + "Written while the database was lost.\n")
    with replica(tmp_path / "desktop") as again:
        folder_of(again).append_entry("entry 5", entry_id="e5")
        assert exchange(again, vps)
        found = texts(again)
        assert found == texts(vps)
        assert found[BRIEFING] == before[BRIEFING] + "Written while the database was lost.\n"
        assert [found[LOG].count(f"entry {number}\n") for number in range(6)] == [1] * 6
        assert found[LOG].index("entry 4") < found[LOG].index("entry 5")
        assert {name: found[name] for name in DOCUMENT_NAMES[:2]} == {
            name: before[name] for name in DOCUMENT_NAMES[:2]
        }
        assert exchange(again, vps) and texts(again) == found


def test_what_both_wrote_apart_is_kept(tmp_path: Path, vps: Replica) -> None:
    with replica(tmp_path / "new") as new:
        folder_of(new).edit(BRIEFING, "# Session briefing\n\nAnother briefing.\n")
        folder_of(new).append_entry("new entry", entry_id="n1")
        assert exchange(new, vps)
        found = texts(new)
        assert found == texts(vps)
        assert sorted(found[BRIEFING].split("\n")) == sorted(
            ["# Session briefing", "", "Another briefing.", "My briefing.", ""]
        )
        assert all(found[LOG].count(f"entry {number}\n") == 1 for number in range(5))
        assert found[LOG].count("new entry\n") == 1 and found[LOG].count("# Session log\n") == 1


def test_a_server_that_lost_its_past_joins_what_a_phone_kept(tmp_path: Path, vps: Replica) -> None:
    before = texts(vps)
    with replica(tmp_path / "new") as new:
        assert exchange(vps, new)
        assert exchange(vps, new)
        assert texts(new) == texts(vps) == before


def test_goes_on_when_it_was_cut_off_before_the_joining(
    tmp_path: Path, vps: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = texts(vps)

    class Killed(BaseException):
        pass

    def kill(*_: object) -> list[str]:
        raise Killed

    with replica(tmp_path / "new") as new, monkeypatch.context() as patch:
        patch.setattr("shared_context.documents.unrelated_histories.joined", kill)
        with pytest.raises(Killed):
            exchange(new, vps)
    with replica(tmp_path / "new") as new:
        assert exchange(new, vps)
        assert texts(new) == texts(vps) == before


def test_replicas_with_a_common_past_are_left_alone(tmp_path: Path, vps: Replica) -> None:
    with replica(tmp_path / "desktop") as old:
        folder_of(old).edit(BRIEFING, "twice\ntwice\n")
        assert exchange(old, vps)
        assert texts(vps)[BRIEFING] == "twice\ntwice\n"
        assert not any("joined" in problem for problem in folder_of(old).problems())


@given(own=lines, theirs=lines)
def test_joined_texts_lack_no_line_of_either(own: list[str], theirs: list[str]) -> None:
    both = joined(own, theirs, STARTER)
    for part in (own, theirs):
        rest = iter(both)
        assert all(line in rest for line in part)
    assert len(both) <= len(own) + len(theirs)
    assert joined(own, own, STARTER) == own


@pytest.mark.parametrize("starter_is", ["own", "theirs"])
def test_a_starter_nobody_edited_gives_way(starter_is: str) -> None:
    written = ["# Briefing", "", "Mine.", ""]
    pair = (STARTER, written) if starter_is == "own" else (written, STARTER)
    assert joined(*pair, STARTER) == written


def test_a_starter_stays_beside_what_does_not_replace_it() -> None:
    assert joined(STARTER, ["an entry"], STARTER) == ["# Briefing", "", "What matters now.", "", "an entry"]


def test_line_endings_are_no_difference() -> None:
    assert joined(["a\r", "b\r", ""], ["a", "b", "c", ""], STARTER) == ["a\r", "b\r", "c\r", ""]


def test_the_starters_have_headings_of_their_own() -> None:
    assert len({starter_text(name).split("\n")[0] for name in DOCUMENT_NAMES}) == len(DOCUMENT_NAMES)


def test_state_vectors_are_read_and_compared() -> None:
    assert entries_of(b"\x02\x05\x02\xac\x02\x00") == {5: 2}
    assert covers(b"\x01\x05\x02", b"\x01\x05\x01") and not covers(b"\x01\x05\x02", b"\x01\x06\x01")


@pytest.mark.parametrize("vector", [b"\xff\xff\xff\xff\x7f", b"\x02\x05", b"\xff" * 3000], ids=len)
def test_bytes_that_are_no_state_vector_are_refused(vector: bytes) -> None:
    with pytest.raises(DocumentRejected):
        entries_of(vector)
