"""What is taken of a model's answer: only what it can quote."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.errors import BackendError
from orchestrator_core.handoff import proposals
from orchestrator_core.handoff.item import Kind
from support.prompt_data import conversation

SESSION = conversation(
    [
        "The stream stops after 60 seconds.",
        "That is proxy_read_timeout, 60s by default.",
        "We use a ping of 15 s then.",
    ]
)


def answer(*items: dict[str, Any]) -> str:
    filled = {"text": "t", "message": 1, "due": None, "resolves": None, "lasting": False}
    return json.dumps({"items": [{**filled, **item} for item in items]})


def taken(*items: dict[str, Any], known: tuple[str, ...] = ()) -> list[tuple[Kind, str, str]]:
    found, _ = proposals.checked(answer(*items), SESSION, known)
    return [(item.kind, item.text, item.message_id) for item in found]


def test_an_item_with_its_quote_is_taken_with_the_model_s_words() -> None:
    item = {
        "kind": "decided",
        "text": "A ping every 15 s keeps the stream open.",
        "quote": "a ping of 15 s",
        "message": 3,
    }
    assert taken(item) == [(Kind.DECIDED, item["text"], SESSION[2].message_id)]


@pytest.mark.parametrize(
    "quote", ["We use a ping of 20 s", "", "a ping", "We use a ping of 15 s now and forever"]
)
def test_an_invented_or_trivial_quote_drops_the_item(quote: str) -> None:
    expected = 1 if quote == "a ping" else 0
    assert len(taken({"kind": "decided", "quote": quote, "message": 3})) == expected


def test_a_quote_of_another_message_is_put_right() -> None:
    item = {"kind": "done", "text": "Found the cause.", "quote": "That is proxy_read_timeout", "message": 3}
    assert taken(item) == [(Kind.DONE, "Found the cause.", SESSION[1].message_id)]
    assert proposals.checked(answer(item), SESSION, ())[0][0].by_assistant


def test_a_number_that_nobody_said_gives_way_to_the_quote() -> None:
    item = {"kind": "decided", "text": "A ping of 25 s.", "quote": "We use a ping of 15 s", "message": 3}
    assert taken(item)[0][1] == "We use a ping of 15 s"


def test_only_known_items_are_resolved() -> None:
    item = {"kind": "done", "quote": "a ping of 15 s", "message": 3, "resolves": "abc"}
    assert proposals.checked(answer(item), SESSION, ())[0][0].resolves is None
    assert proposals.checked(answer(item), SESSION, ("abc",))[0][0].resolves == "abc"


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"items": [{"kind": "opinion"}]}', '{"items": 5}'])
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(BackendError):
        proposals.checked(text, SESSION, ())


@given(st.text(), st.integers(), st.text())
def test_nothing_without_proof_is_ever_taken(quote: str, number: int, text: str) -> None:
    item = {"kind": "fact", "quote": quote, "message": number, "text": text[:600]}
    for found in proposals.checked(answer(item), SESSION, ())[0] if len(quote) <= 1000 else []:
        assert any(" ".join(found.quote.split()) in " ".join(m.content.split()) for m in SESSION)


def test_windows_keep_their_beginning_while_a_session_grows() -> None:
    texts = [f"message number {n}" for n in range(40)]
    grown = proposals.windows(conversation(texts), 30, lambda text: len(text.split()))
    before = proposals.windows(conversation(texts[:25]), 30, lambda text: len(text.split()))
    assert [m.content for part in grown for m in part] == texts
    names = [[m.message_id for m in part] for part in grown]
    assert [[m.message_id for m in part] for part in before[:-1]] == names[: len(before) - 1]


def test_a_long_message_is_shown_without_its_middle() -> None:
    text = "begin " + "x" * 20_000 + " end"
    asked = proposals.question(conversation([text]), [], date(2026, 11, 30))[0].content
    assert "begin" in asked and " end" in asked and len(asked) < 8_000
