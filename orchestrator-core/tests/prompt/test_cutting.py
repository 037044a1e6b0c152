from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_core.prompt.cutting import (
    LEFT_OUT_MARK,
    Lasting,
    cut_document,
    cut_log,
    entries,
    units,
)
from shared_context.documents.markdown import without_comments
from support.scripted.script import words


def count(text: str) -> int:
    return len(words(text))


blocks = st.sampled_from(
    [
        "# Title\n", "## Part one\n", "## Part two\n", "### Deep\n", "\n", "\n\n",
        "A short paragraph. With two sentences.\n", "- an item\n- another item\n", "1. first\n2. second\n",
        "```python\n# not a heading\n\nx = 1\n```\n", "| a | b |\n|---|---|\n| 1 | 2 |\n",
        "A very long paragraph goes on. " * 30 + "\n", "no end", "~~~\nunclosed fence\n", "日本語の文。次の文。\n",
    ]
)  # fmt: skip
markdown = st.lists(blocks, max_size=14).map("".join)
log_text = st.lists(st.integers(0, 40), max_size=14).map(
    lambda lengths: (
        "# Session log\n\nIntroduction.\n\n"
        + "".join(
            f"## 2026-01-{n + 1:02} entry\n\n" + "Something. " * length + "\n\n"
            for n, length in enumerate(lengths)
        )
    )
)


@given(markdown)
def test_units_joined_are_the_text(text: str) -> None:
    assert "".join(unit.text for unit in units(text)) == text


@given(log_text)
def test_introduction_and_entries_joined_are_the_log(text: str) -> None:
    introduction, found = entries(text)
    assert introduction + "".join(found) == text


@settings(max_examples=200)
@given(markdown, st.integers(0, 400))
def test_a_cut_fits_and_consists_of_whole_units(text: str, budget: int) -> None:
    cut = cut_document(text, budget, count)
    assert cut.tokens == count(cut.text)
    assert cut.tokens <= budget + count(LEFT_OUT_MARK)
    whole = [unit.text.strip() for unit in units(text)]
    rest = cut.text
    for unit in whole:
        if rest.lstrip().startswith(unit):
            rest = rest.lstrip().removeprefix(unit)
        elif rest.lstrip().startswith(LEFT_OUT_MARK.strip()):
            rest = rest.lstrip().removeprefix(LEFT_OUT_MARK.strip())
            if rest.lstrip().startswith(unit):
                rest = rest.lstrip().removeprefix(unit)
    assert rest.strip() in ("", LEFT_OUT_MARK.strip())


@given(markdown)
def test_a_document_that_fits_is_whole(text: str) -> None:
    cut = cut_document(text, 4 * count(text) + 200, count)
    if any(unit.text.strip() and not unit.level for unit in units(text)):
        assert cut.text == text
        assert cut.left_out == ()


DOCUMENT = """# House

The house is blue. It has a door.

## Rooms

- kitchen
- bath

```sh
# comment, not a heading
make house
```

## Garden

There are trees.

## History

It was built in 1900.
"""


def test_the_beginning_and_the_headings_stay() -> None:
    cut = cut_document(DOCUMENT, 72, count)
    assert cut.text.startswith("# House\n\nThe house is blue. It has a door.\n")
    assert "## Garden" in cut.text
    assert f"## History\n{LEFT_OUT_MARK}" in cut.text
    assert cut.left_out == ("History",)
    assert "1900" not in cut.text


def test_a_code_block_is_kept_whole_or_not_at_all() -> None:
    for budget in range(count(DOCUMENT) + 20):
        text = cut_document(DOCUMENT, budget, count).text
        assert ("make house" in text) == ("```sh\n# comment, not a heading\nmake house\n```" in text)


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = "# T\n\n" + " ".join(f"Sentence number {n} is here." for n in range(100))
    cut = cut_document(text, 120, count)
    assert 60 < cut.tokens <= 120 + count(LEFT_OUT_MARK)
    kept = cut.text.removesuffix(LEFT_OUT_MARK).rstrip()
    assert kept.endswith("is here.")
    assert cut.left_out == ("T",)


def test_a_long_block_without_sentences_is_cut_between_lines() -> None:
    text = "# T\n\n" + "".join(f"key {n}: value {n}\n" for n in range(200))
    cut = cut_document(text, 120, count)
    assert cut.tokens > 60
    kept = [line for line in cut.text.splitlines() if line.startswith("key")]
    assert kept == [f"key {n}: value {n}" for n in range(len(kept))]


def test_what_lasts_is_kept_before_all_else() -> None:
    text = (
        "# Portfolio\n\n"
        + "One more project. " * 60
        + "\n\n## About me\n\n- Allergic to nuts\n\n## Old\n\nNo.\n"
    )
    cut = cut_document(text, 30, count, Lasting({"about me"}))
    assert "- Allergic to nuts" in cut.text
    assert "Allergic" not in cut_document(text, 30, count).text


def test_nothing_fits_nothing_is_kept() -> None:
    assert cut_document(DOCUMENT, 3, count).text == ""
    assert cut_document("", 100, count).text == ""


def log(entry_count: int, order: int = 1) -> str:
    parts = [f"## 2026-01-{n:02} Day {n}\n\nDid thing {n}.\n\n" for n in range(1, entry_count + 1)]
    return "# Session log\n\nThe journal.\n\n" + "".join(parts[::order])


def test_the_newest_entries_stay_oldest_of_them_first() -> None:
    cut = cut_log(log(20), 120, count)
    assert cut.text.startswith("# Session log")
    assert cut.text.rstrip().endswith("Did thing 20.")
    assert cut.tokens <= 120
    kept = [n for n in range(1, 21) if f"Did thing {n}." in cut.text]
    assert kept == list(range(kept[0], 21))
    assert cut.left_out == tuple(f"2026-01-{n:02} Day {n}" for n in range(1, kept[0]))


def test_entries_go_in_large_steps_so_the_log_grows_at_its_end_only() -> None:
    texts = [cut_log(log(n), 200, count).text for n in range(1, 29)]
    grows = sum(after.startswith(before) for before, after in pairwise(texts))
    assert grows >= 22


def test_a_log_written_newest_first_is_turned_round() -> None:
    cut = cut_log(log(20, -1), 120, count)
    assert cut.text.rstrip().endswith("Did thing 20.")
    assert "Did thing 1." not in cut.text


def test_of_a_newest_entry_that_is_too_long_the_beginning_stays() -> None:
    long = log(3) + "## 2026-01-04 Long\n\n" + " ".join(f"Point {n} was made." for n in range(200))
    cut = cut_log(long, 100, count)
    assert "## 2026-01-04 Long\n\nPoint 0 was made." in cut.text
    assert cut.tokens <= 100 + count(LEFT_OUT_MARK)
    assert cut.left_out[-1] == "part of 2026-01-04 Long"
    assert len(cut.left_out) == 4


def test_a_log_without_entries_is_cut_like_any_document() -> None:
    assert cut_log("Just notes. No entries.", 100, count).text == "Just notes. No entries."


@settings(max_examples=100)
@given(log_text, st.integers(0, 500))
def test_a_cut_log_fits(text: str, budget: int) -> None:
    cut = cut_log(text, budget, count)
    assert cut.tokens <= budget + count(LEFT_OUT_MARK)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("## Day <!-- entry:01k6v3 -->\n", "## Day\n"),
        ("a<!-- x\ny -->b", "ab"),
        ("a <!-- never closed", "a <!-- never closed"),
    ],
)
def test_comments_are_for_the_author(text: str, shown: str) -> None:
    assert without_comments(text) == shown


def test_only_what_can_matter_is_counted() -> None:
    counted: list[str] = []

    def noting(text: str) -> int:
        counted.append(text)
        return count(text)

    cut_document("# T\n\n" + "A paragraph of words.\n\n" * 5000, 100, noting)
    assert len(counted) < 100
    counted.clear()
    cut_log(log(9) + "".join(f"## entry {n}\n\ntext here\n\n" for n in range(5000)), 100, noting)
    assert len(counted) < 100


def test_nothing_behind_the_end_of_the_budget_is_looked_into() -> None:
    counted = []

    def counting(text: str) -> int:
        counted.append(text)
        return len(text)

    cut = cut_document("# T\n\n" + "Yes. " * 100_000, 500, counting)
    assert cut.text.endswith(LEFT_OUT_MARK)
    assert len(counted) < 200
