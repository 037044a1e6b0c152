from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from shared_context.retrieval.passages import PASSAGE_CHARS, document_passages, pieces
from support.prompt_data import document


def test_a_log_is_cut_at_its_entries_and_keeps_their_ids() -> None:
    text = (
        "# Session log\n\n## 2026-01-02 10:00 UTC · desktop <!-- entry:abc -->\n\nDone.\n\n### Why\n\nSo.\n\n"
        "## 2026-01-03 by hand\n\nMore.\n"
    )
    first, second = document_passages(document("SESSION_LOG.md", text))
    assert (first.source, first.item, first.at) == ("log", "SESSION_LOG.md#abc", "2026-01-02T10:00")
    assert "Done." in first.text and "### Why" in first.text
    assert "<!--" not in first.text
    assert (second.item, second.at) == ("SESSION_LOG.md#2026-01-03 by hand", "2026-01-03")


def test_another_document_is_cut_at_its_headings() -> None:
    text = "Before.\n# Project\n## Purpose\nTo live in.\n## Decisions\n```\n# no heading\n```\n## Decisions\nAgain.\n"
    found = document_passages(document("PROJECT_CONTEXT.md", text))
    assert [one.item.partition("#")[2] for one in found] == [
        "beginning", "Purpose", "Decisions", "Decisions (2)"
    ]  # fmt: skip
    assert "# no heading" in found[2].text


@given(st.text(max_size=5000))
def test_a_text_is_cut_without_losing_anything_but_space(text: str) -> None:
    assert "".join("".join(pieces(text)).split()) == "".join(text.split())


def test_a_long_text_is_cut_to_its_end_in_pieces_of_bounded_size() -> None:
    found = pieces("word " * 100_000 + "end")
    assert found[-1].endswith("end")
    assert max(map(len, found)) <= PASSAGE_CHARS
