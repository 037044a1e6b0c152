"""Texts made to keep regular expressions busy. Without the bounds each of these takes minutes."""

from __future__ import annotations

import pytest
from orchestrator_core.handoff.extract import extract
from orchestrator_core.handoff.history_summary import summary
from support.prompt_data import conversation

PIECES = [
    "a", "/a", "a.", "habe ", "we ", "`a ", "1.", "- ", "http://", "%/", "*", "\"'", "a@", "a+", "passwort", "pin is ",
    "aA1", "let's ", " ", "so ", "Ab ", "v1.2", "c:\\a b", ".", "# ", "#", "```\n", "[x] ", "?", "\n- [ ] a", "sk-",
    "wir haben ", "je ", "=", "\t", "> ", "|", "i have ", "a:b@", "é", "。", "<!--", "x" * 499 + ". ",
    "ist " + "ge" * 240 + ". ", "nicht ", "noch en ", "either ", "no ", "Wer a",
]  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("tail", ["", " x.", "x"])
def test_it_is_read_in_the_end(piece: str, tail: str) -> None:
    text = piece * (60_000 // len(piece)) + tail
    extract(conversation([text, text]))


@pytest.mark.timeout(60)
def test_a_summary_of_huge_messages_is_bounded() -> None:
    text = "We decided on tea, and on 7 cups for docs/tea.md. " * 4000
    assert summary(conversation([text] * 99), 300, lambda one: len(one) // 4)
