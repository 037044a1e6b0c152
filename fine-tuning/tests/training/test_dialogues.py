from __future__ import annotations

import pytest
from fine_tuning.errors import TrainingRefused
from fine_tuning.training.dialogues import MOST_NAMED, short_enough
from training_data.records import Record


def examples(*lengths: int) -> list[Record]:
    return [
        Record.of("Count.", "x" * length, topic="", fact=str(n), source="test", licence="")
        for n, length in enumerate(lengths)
    ]


def tokens(record: Record) -> int:
    return len(record.completion[0]["content"])


def test_what_is_too_long_is_left_out_and_named_by_its_place_and_length() -> None:
    given = examples(5, 4000, 10, 11)
    kept, left_out = short_enough(given, 10, tokens)
    assert kept == [given[0], given[2]]
    assert left_out == "2 of 4 examples are longer than 10 tokens and left out: the 2. (4,000), the 4. (11)"


def test_where_all_fit_nothing_is_said() -> None:
    assert short_enough(examples(1, 2), 2, tokens)[1] == ""


def test_many_are_counted_and_some_named() -> None:
    _, left_out = short_enough(examples(1, *[9] * 100), 2, tokens)
    assert (
        left_out.startswith("100 of 101") and left_out.count("the ") == MOST_NAMED and left_out.endswith("…")
    )


def test_none_left_is_refused() -> None:
    with pytest.raises(TrainingRefused, match="--max_seq_length"):
        short_enough(examples(3), 2, tokens)
