from __future__ import annotations

import pytest
from shared_context.documents.line_diff import join_lines, split_lines
from shared_context.documents.text_style import block_at_end, in_style_of


@pytest.mark.parametrize(
    ("document", "text", "expected"),
    [
        ("a\nb\n", "c\r\nd\r\n", "c\nd\n"),
        ("a\r\nb\r\n", "c\nd\n", "c\r\nd\r\n"),
        ("a\r\nb\r\n", "c\r\nd\n", "c\r\nd\n"),
        ("a\nb\n", "c\r\nd\n", "c\r\nd\n"),
        ("", "c\r\nd\r\n", "c\r\nd\r\n"),
        ("a\r\nb\r\n", "c", "c"),
        ("no newline", "c\nd", "c\nd"),
    ],
)
def test_a_text_takes_the_documents_line_endings(document: str, text: str, expected: str) -> None:
    assert in_style_of(split_lines(document), text) == expected


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("", "X\nY\n"),
        ("a\n", "a\n\nX\nY\n"),
        ("a", "a\n\nX\nY\n"),
        ("a\n\n", "a\n\nX\nY\n"),
        ("a\r\n", "a\r\n\r\nX\r\nY\r\n"),
    ],
)
def test_a_block_ends_the_document(document: str, expected: str) -> None:
    lines = split_lines(document)
    at, new = block_at_end(lines, ["X", "Y"])
    assert join_lines([*lines[:at], *new, *lines[at:]]) == expected
