"""What a session says of itself by explicit markers, and what it must not be taken to say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.handoff.extract import MOST_ITEMS, extract
from orchestrator_core.handoff.item import HandoffItem, Kind
from support.prompt_data import conversation


def said(text: str) -> list[tuple[Kind, str]]:
    return [(item.kind, item.text) for item in extract(conversation([text, "Fine."]))]


@pytest.mark.parametrize(
    ("text", "kind", "item"),
    [
        ("Decision: we use SQLite.", Kind.DECIDED, "we use SQLite."),
        ("**Decision:** we use SQLite.", Kind.DECIDED, "we use SQLite."),
        ("OK, we decided to move on Friday.", Kind.DECIDED, "OK, we decided to move on Friday."),
        (
            "Wir haben beschlossen, im Mai zu fahren.",
            Kind.DECIDED,
            "Wir haben beschlossen, im Mai zu fahren.",
        ),
        ("我们决定用红色的标志。", Kind.DECIDED, "我们决定用红色的标志。"),
        ("TODO: call the bank by 2026-12-03", Kind.TODO, "call the bank by 2026-12-03"),
        ("Remind me to water the plants.", Kind.TODO, "Remind me to water the plants."),
        ("Don’t forget to book the ferry.", Kind.TODO, "Don’t forget to book the ferry."),
        ("- [ ] write the docs", Kind.TODO, "write the docs"),
        ("- [x] write the docs", Kind.DONE, "write the docs"),
        ("## Next steps\n\n- write the docs", Kind.TODO, "write the docs"),
        ("Offene Fragen:\n- Wer zahlt das Hotel", Kind.QUESTION, "Wer zahlt das Hotel"),
        (
            "Please remember that I am allergic to nuts.",
            Kind.OWNER,
            "Please remember that I am allergic to nuts.",
        ),
    ],
)
def test_a_marked_sentence_is_what_it_says(text: str, kind: Kind, item: str) -> None:
    assert (kind, item) in said(text)


@pytest.mark.parametrize(
    "text",
    [
        "We should probably paint the fence one day.",
        "I must say this is lovely.",
        "Have we decided on a colour",
        "I wonder what we decided.",
        "The button says 'remind me later'.",
        "> Decision: somebody else's",
        "```\nTODO: in a listing\n```",
        "| TODO: | in a table |\n|---|---|\n| a | b |",
        "todo",
        "Done:",
        "thanks, that was great",
        '"We decided to sing," said the shark.',
    ],
)
def test_what_only_resembles_a_marker_is_no_item(text: str) -> None:
    assert said(text) == []


def test_each_line_of_a_message_speaks_for_itself() -> None:
    assert said("Decision: one database\nDecision: no cache\nTODO: write it down") == [
        (Kind.DECIDED, "one database"),
        (Kind.DECIDED, "no cache"),
        (Kind.TODO, "write it down"),
    ]
    wrapped = "TODO: ask the people of the water works whether the\nmeter can stay where it is."
    assert said(wrapped.replace("the\n", "old and new meter for the\n"))[0][1].endswith("where it is.")


def test_a_task_whose_box_was_checked_later_is_done() -> None:
    items = extract(conversation(["- [ ] dry run\n- [ ] cutover\n- [ ] call", "- [x] call", "- [x] dry run"]))
    assert [(item.kind, item.text) for item in items] == [(Kind.TODO, "cutover"), (Kind.DONE, "dry run")]


def test_without_markers_the_questions_are_listed() -> None:
    assert said("Which battery fits the old phone? I like it.") == [
        (Kind.ASKED, "Which battery fits the old phone?")
    ]


def test_the_assistant_marks_nothing() -> None:
    assert extract(conversation(["Hm.", "Decision: we use SQLite. TODO: migrate. - [ ] test"])) == []


def test_the_first_question_and_the_newest_marks_stay() -> None:
    texts = ["What shall this be about, in short?", "…"]
    texts += [text for n in range(30) for text in (f"TODO: number {n} of the list", "ok")]
    items = extract(conversation(texts))
    assert len(items) == MOST_ITEMS
    assert items[-1].text == "number 29 of the list"


def test_secrets_and_comment_marks_are_left_out() -> None:
    assert said("TODO: use the key sk-abcdefghijklmnopqrstuvwx") == []
    assert said("TODO: hide <!-- this -->") == []


@given(st.lists(st.text(max_size=300), max_size=12))
def test_every_quote_is_in_its_message(texts: list[str]) -> None:
    messages = conversation(texts)
    by_id = {message.message_id: " ".join(message.content.split()) for message in messages}
    items: list[HandoffItem] = extract(messages)
    assert len(items) <= MOST_ITEMS
    assert all(" ".join(item.quote.split()) in by_id[item.message_id] for item in items)


PIECES = [
    "a. ",
    "- ",
    "  - ",
    "1. ",
    "> ",
    "# ",
    "```\n",
    "[",
    "](",
    "*",
    "_",
    "|",
    "\n|",
    "<",
    "TODO: ",
    "[ ] ",
    "é。",
    "?",
    "\t",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", PIECES)
def test_hostile_texts_are_read_in_the_end(piece: str) -> None:
    text = piece * (60_000 // len(piece))
    extract(conversation([text, text]))
