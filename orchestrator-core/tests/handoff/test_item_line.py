"""An item as a line of a document."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.handoff.item import MAX_TEXT, HandoffItem, Kind
from orchestrator_core.handoff.item_line import ItemLine, ItemState, line_of, parse, storable

TODAY = date(2026, 11, 30)


def test_a_task_shows_its_box_its_day_and_hides_its_origin() -> None:
    item = HandoffItem(
        Kind.TODO, "Renew the certificate", "renew it by 2026-12-03", "m1", due=date(2026, 12, 3)
    )
    line = str(line_of(item, TODAY))
    assert line == f"- [ ] Renew the certificate (due 2026-12-03) <!-- item:{item.item_id} 2026-11-30 m1 -->"


def test_a_superseded_line_is_struck_with_its_day() -> None:
    line = line_of(HandoffItem(Kind.OWNER, "Likes tea", "I like tea", "m1"), TODAY).superseded(
        date(2026, 12, 1)
    )
    assert str(line).startswith("- ~~Likes tea~~ (until 2026-12-01) <!-- item:")
    assert parse(str(line)) == line


@given(
    st.text(max_size=400),
    st.sampled_from([Kind.TODO, Kind.QUESTION, Kind.DECIDED, Kind.OWNER]),
    st.none() | st.dates(),
)
def test_a_written_line_is_read_back_the_same(text: str, kind: Kind, due: date | None) -> None:
    line = line_of(HandoffItem(kind, text, text, "m-1", due=due), TODAY)
    written = str(line)
    assert "\n" not in written
    read = parse(written)
    if read is not None and line.text:
        assert (read.item_id, read.created, read.message_id) == (line.item_id, TODAY, "m-1")
        assert str(read) == written or parse(str(read)) == read


@pytest.mark.parametrize(
    ("line", "text", "state"),
    [
        ("- [x] water the plants", "water the plants", ItemState.DONE),
        ("  * by hand", "by hand", ItemState.OPEN),
        ("- a ~~b~~ c", "a ~~b~~ c", ItemState.OPEN),
        ("- ~~tea~~ (until 2026-12-01)", "tea", ItemState.SUPERSEDED),
        ("- broken <!-- item:zz", "broken <!-- item:zz", ItemState.OPEN),
        ("- day (due 2026-99-99)", "day", ItemState.OPEN),
    ],
)
def test_lines_written_by_hand_are_items(line: str, text: str, state: ItemState) -> None:
    item = parse(line)
    assert item is not None and (item.text, item.state, item.created) == (text, state, None)
    assert item.item_id == parse(line).item_id  # type: ignore[union-attr]


@pytest.mark.parametrize("line", ["", "text", "-", "- ", "# heading"])
def test_other_lines_are_none(line: str) -> None:
    assert parse(line) is None


def test_a_long_text_is_cut_at_a_word() -> None:
    text = storable("word " * 200)
    assert len(text) <= MAX_TEXT and text.endswith("word…")


@given(st.text())
def test_any_line_is_an_item_or_none(line: str) -> None:
    item = parse(line)
    assert item is None or isinstance(item, ItemLine)
