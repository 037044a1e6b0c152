from __future__ import annotations

import pytest
from training_data.building import Sources, build
from training_data.fact_split import split_by_fact
from training_data.records import Record
from training_data.wording import plain_words

RECORDS = build(Sources(), 20261).records
TRAIN, VAL = split_by_fact(RECORDS, 0.12, 20261)


def test_the_sides_share_no_fact():
    assert {record.fact for record in TRAIN} & {record.fact for record in VAL} == set()


def test_every_topic_has_about_its_share_on_both_sides():
    for topic in {record.topic for record in RECORDS} - {"outside"}:
        held = sum(record.topic == topic for record in VAL)
        assert 0.02 < held / sum(record.topic == topic for record in RECORDS) < 0.3, topic


def test_no_held_out_text_is_nearly_a_trained_one():
    """By another measure than the split's own: shared words of all words, pair by pair."""
    for side in ("question", "answer"):
        trained = {frozenset(plain_words(getattr(record, side))) for record in TRAIN}
        for text in {getattr(record, side) for record in VAL[:: 1 if side == "answer" else 5]}:
            words = frozenset(plain_words(text))
            assert all(len(words & other) < 0.9 * len(words | other) for other in trained), text


def test_nothing_is_lost_and_the_same_seed_gives_the_same_sides():
    assert len(TRAIN) + len(VAL) == len(RECORDS)
    assert split_by_fact(RECORDS, 0.12, 20261) == (TRAIN, VAL)
    assert split_by_fact(RECORDS, 0.12, 2) != (TRAIN, VAL)


def test_a_paraphrase_under_another_fact_id_stays_with_its_twin():
    pairs = [
        Record.of(
            "Where does the desktop keep its memory?", "In the data folder, in a file memory.db.", fact="a"
        ),
        Record.of("What is a seam?", "The place where another tier took over an answer.", fact="b"),
        Record.of(
            "Which file holds what was said?", "It is in the file memory.db, in the data folder.", fact="c"
        ),
    ]
    for seed in range(20):
        train, val = split_by_fact(pairs, 0.4, seed)
        assert ({"a", "c"} <= {r.fact for r in train}) or ({"a", "c"} <= {r.fact for r in val})


def test_one_fact_alone_is_trained_and_not_held_out():
    only = [Record.of("What is X?", "An answer.", fact="a")]
    assert split_by_fact(only, 0.5, 1) == (tuple(only), ())


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_an_impossible_share_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        split_by_fact(RECORDS[:5], share, 1)
