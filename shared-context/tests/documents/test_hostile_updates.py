"""Updates that another program made, or a bad one: refused, and the memory works on as before."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycrdt import Array, Doc, Map, Text, XmlFragment
from shared_context.documents.context_folder import ContextFolder
from shared_context.documents.crdt import SharedLines, refused
from shared_context.documents.line_diff import LineChange
from shared_context.errors import DocumentRejected

LOG = "SESSION_LOG.md"


def made_by(write: Callable[[Any], object]) -> bytes:
    doc: Doc[Any] = Doc()
    write(doc)
    return doc.get_update()


def appended(value: Any) -> bytes:
    return made_by(lambda doc: doc.get(LOG, type=Array).append(value))


def nested(depth: int, opening: bytes) -> bytes:
    """A list in a list, or a map in a map, so many times. No library would build it."""
    update = appended(["x"])
    innermost = bytes([117, 1, 119, 1]) + b"x"
    assert innermost in update
    return update.replace(innermost, opening * depth + bytes([119, 1]) + b"x")


HOSTILE = {
    "a number": appended(1),
    "not a number": appended(float("nan")),
    "nothing": appended(None),
    "bytes": appended(b"\xff"),
    "a list": appended(["x"]),
    "a map of something else": appended({"x": 1}),
    "a line without a hunk": appended({"t": "x"}),
    "runs that are none": appended({"t": "x", "h": "h", "o": [[-1, 2**60, 1e300]]}),
    "two lines in one": appended("a\nb"),
    "an array in the array": appended(Array(["x"])),
    "a text in the array": appended(Text("x")),
    "a map in the array": appended(Map({"t": "x"})),
    "a document in the array": appended(Doc()),
    "a text by that name": made_by(lambda doc: doc.get(LOG, type=Text).insert(0, "x")),
    "a map by that name": made_by(lambda doc: doc.get(LOG, type=Map).update({"a": 1})),
    "markup by that name": made_by(lambda doc: doc.get(LOG, type=XmlFragment).children.append("x")),
    "a path": made_by(lambda doc: doc.get("../SESSION_LOG.md", type=Array).append("x")),
    "lists, deeper than a line": nested(20, bytes([117, 1])),
    "lists, deeper than Python goes": nested(5_000, bytes([117, 1])),
    "lists, deeper than the stack": nested(1_000_000, bytes([117, 1])),
    "maps, deeper than the stack": nested(500_000, bytes([118, 1, 1]) + b"k"),
    "no bytes": b"",
    "more clients than bytes": bytes([255] * 9 + [1]),
    "an endless number": bytes([255] * 1000),
    "text": b"this is no update at all",
}


@pytest.fixture
def writing(folder: ContextFolder) -> ContextFolder:
    folder.append_entry("before")
    return folder


@pytest.mark.parametrize("update", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_document_is_refused_and_changes_nothing(writing: ContextFolder, update: bytes) -> None:
    vector, text = writing.state_vector(), writing.document(LOG).text
    with pytest.raises(DocumentRejected):
        writing.apply_update(update, "stranger")
    assert writing.state_vector() == vector
    assert writing.document(LOG).text == text
    assert "after" in writing.append_entry("after")[0].text


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 2), st.binary(max_size=3)),
        min_size=1,
        max_size=3,
    )
)
def test_a_damaged_update_is_refused_or_taken_in_whole(damage: list[tuple[float, int, bytes]]) -> None:
    ours, theirs = SharedLines(), SharedLines()
    ours.change(LOG, [LineChange(0, 0, ("a", "b", "c", "d"))], "x")
    theirs.receive(ours.update_since())
    theirs.change(LOG, [LineChange(1, 3, ("B", "C"))], "y")
    theirs.change("house/SESSION_LOG.md", [LineChange(0, 0, ("n",))], "y")
    ours.change(LOG, [LineChange(2, 3, ("CC",))], "x")
    update = bytearray(theirs.update_since(ours.state_vector()))
    for where, cut, put in damage:
        at = int(where * len(update))
        update[at : at + cut] = put
    vector = ours.state_vector()
    try:
        ours.receive(bytes(update))
    except DocumentRejected:
        assert ours.state_vector() == vector
    ours.change(LOG, [LineChange(0, 0, ("still alive",))], "x")
    assert ours.texts(LOG)[0] == "still alive"


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_a_state_vector_of_any_bytes_is_answered_or_refused(vector: bytes) -> None:
    lines = SharedLines()
    lines.change(LOG, [LineChange(0, 0, ("a",))], "x")
    with contextlib.suppress(DocumentRejected):
        lines.update_since(vector)
    assert lines.texts(LOG) == ["a"]


def test_a_panic_of_the_library_becomes_an_error_of_ours() -> None:
    doc: Doc[Any] = Doc()
    with pytest.raises(DocumentRejected, match="damaged"), refused("This"):
        doc.get(LOG, type=Array).append("half \udc00")  # a real one: the library cannot encode it


def test_what_is_no_panic_passes_as_it_is() -> None:
    with pytest.raises(KeyboardInterrupt), refused("This"):
        raise KeyboardInterrupt


def test_a_refusal_names_no_more_than_a_bit_of_what_was_sent(writing: ContextFolder) -> None:
    secret = secrets.token_hex(2000)
    with pytest.raises(DocumentRejected) as caught:
        writing.apply_update(appended([secret]), "stranger")
    assert len(str(caught.value)) < 300
