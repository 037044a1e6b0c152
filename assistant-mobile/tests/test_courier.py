"""Edits and log entries that were written offline, over a crash at each step and other people's changes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mobile_sync.courier import HouseholdCourier
from mobile_sync.delivery import Delivery
from mobile_sync.outbox import EntryKind, EntryState, Outbox
from shared_context.documents.context_folder import ContextFolder

BRIEFING, LOG = "SESSION_BRIEFING.md", "SESSION_LOG.md"
KINDS = [(EntryKind.EDIT, BRIEFING), (EntryKind.LOG_ENTRY, LOG)]


class Crash(BaseException):
    pass


@pytest.fixture
def context(tmp_path: Path) -> Iterator[ContextFolder]:
    with closing(ContextFolder(tmp_path / "context", state=tmp_path / "state")) as folder:
        yield folder


def courier(context: ContextFolder) -> HouseholdCourier:
    return HouseholdCourier(None, context, exchange=lambda: True)  # type: ignore[arg-type]


def noted(outbox: Outbox, context: ContextFolder, kind: EntryKind, lane: str) -> str:
    body: dict[str, Any] = {"text": "Buy a lamp."}
    if kind is EntryKind.EDIT:
        document = context.document(lane)
        body = {"text": document.text + "\nBuy a lamp.\n", "base": document.version}
    return outbox.add(kind, lane, body).entry_id


def changed_by_somebody(context: ContextFolder, lane: str) -> None:
    context.edit(lane, context.document(lane).text + "\nFeed the cat.\n")


@pytest.mark.parametrize(("kind", "lane"), KINDS)
@pytest.mark.parametrize("others", [False, True], ids=["alone", "others wrote meanwhile"])
@pytest.mark.parametrize("step", ["before it is written", "before it is noted as written", "never"])
def test_it_is_written_once(
    kind: EntryKind, lane: str, others: bool, step: str, context: ContextFolder, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "outbox.db")
    entry_id = noted(outbox, context, kind, lane)
    if step != "never":
        outbox.mark(entry_id, EntryState.SENDING)
        if step == "before it is noted as written":
            courier(context).write(outbox.get(entry_id))
    # No close: the process is gone.
    if others:
        changed_by_somebody(context, lane)
    again = Outbox(tmp_path / "outbox.db")
    assert Delivery(again, courier(context)).flush()
    text = context.document(lane).text
    assert text.count("Buy a lamp.") == 1
    assert text.count("Feed the cat.") == int(others)
    assert again.entries() == []


def test_an_edit_that_was_made_and_undone_since_is_not_made_again(context: ContextFolder) -> None:
    base = context.document(BRIEFING)

    def edited(edit_id: str) -> str:
        text = base.text + "\nBuy a lamp.\n"
        return context.edit(BRIEFING, text, base_version=base.version, edit_id=edit_id).text

    assert "Buy a lamp." in edited("a")
    context.edit(BRIEFING, base.text)
    assert "Buy a lamp." not in edited("a")
    assert "Buy a lamp." in edited("b")
