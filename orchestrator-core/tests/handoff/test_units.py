from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.handoff.units import Unit, one_line, sentences, units


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("We need z. B. restic. Then borg.", ["We need z. B. restic.", "Then borg."]),
        ("Ask Dr. Seidel, e.g. today.", ["Ask Dr. Seidel, e.g. today."]),
        ("Wir ziehen am 14. März um. Danke.", ["Wir ziehen am 14. März um.", "Danke."]),
        ("See http/sse.py. It works.", ["See http/sse.py.", "It works."]),
        ("Version 1.26.2 is out. Good.", ["Version 1.26.2 is out.", "Good."]),
        ("ok. and then? yes", ["ok.", "and then?", "yes"]),
        ("我们决定用它。还没测试。", ["我们决定用它。", "还没测试。"]),
        ("Vraiment ? Oui !", ["Vraiment ?", "Oui !"]),
        ('He said "stop." Then left.', ['He said "stop."', "Then left."]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_lines_of_a_chat_are_sentences_and_wrapped_lines_are_not() -> None:
    wrapped = "This line is so long that it can only have been wrapped by somebody's\neditor at its width"
    assert [u.text for u in units("first thing\nsecond thing")] == ["first thing", "second thing"]
    assert [u.text for u in units(wrapped)] == [one_line(wrapped)]


def test_code_quotes_and_tables_are_no_sentences() -> None:
    text = "Look:\n\n```python\nwe_decided = 1\n```\n\n> We decided it.\n\n| a | b |\n|---|---|\n\n    indented()\nText."
    assert [(u.kind, u.text) for u in units(text)] == [
        ("sentence", "Look:"),
        ("code", "we_decided = 1"),
        ("code", "indented()"),
        ("sentence", "Text."),
    ]


def test_list_items_know_their_lead_and_their_box() -> None:
    found = units(
        "Next steps:\n\n1. one\n   goes on\n2. two\n\n## Done\n\n- [x] three\n- [ ] four\n\nText.\n- five"
    )
    assert found[1:5] == [
        Unit("one goes on", "item", "Next steps:"),
        Unit("two", "item", "Next steps:"),
        Unit("three", "item", "Done", True),
        Unit("four", "item", "Done", False),
    ]
    assert found[-1].lead == ""


def test_commands_over_several_lines_stay_together() -> None:
    assert [u.text for u in units("```sh\nmake \\\n  check\nls\n```")] == ["make \\ check", "ls"]


@given(st.text(max_size=400) | st.text("ab .\n-*`>#|!?\t1[x]z", max_size=400))
def test_every_piece_is_in_the_text_and_none_is_empty(text: str) -> None:
    whole = one_line(text)
    for unit in units(text):
        assert unit.text
        assert unit.text in whole or unit.kind == "item"
        if unit.kind == "item":
            assert one_line(unit.text) in whole
