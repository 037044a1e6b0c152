"""What was computed stays for the next turn, and makes room when it is needed."""

from __future__ import annotations

from orchestrator_core.engine.plan import Request
from support.fake_kv import DOCUMENTS, engine, question


def test_a_later_turn_finds_the_whole_conversation_cached() -> None:
    kv = engine()
    kv.submit(Request(1, DOCUMENTS, max_new=4))
    kv.run()
    conversation = DOCUMENTS + kv.sampled[1]
    kv.submit(Request(2, conversation + question(2), max_new=1))
    kv.run()
    # The last token of an answer is sampled, but never computed.
    assert kv.cached[2] == len(conversation) - 1


def test_the_same_prompt_again_computes_one_token() -> None:
    kv = engine()
    for number in (1, 2):
        kv.submit(Request(number, DOCUMENTS, max_new=1))
        kv.run()
    assert kv.computed[2] == 1


def test_finished_conversations_make_room_least_recently_used_first() -> None:
    kv = engine(cells=500, window=400)
    for number in (1, 2):
        kv.submit(Request(number, question(number, 100), max_new=1))
        kv.run()
    kv.submit(Request(3, question(1, 100), max_new=1))  # uses the first one again
    kv.run()
    kv.submit(Request(4, question(4, 320), max_new=50))
    kv.run()
    for number, kept in ((1, True), (2, False)):
        kv.submit(Request(10 + number, question(number, 100), max_new=1))
        kv.run()
        assert (kv.cached[10 + number] > 0) is kept


def test_a_conversation_nobody_goes_on_with_is_dropped_after_so_many_steps() -> None:
    kv = engine(idle_steps=50)
    kv.submit(Request(1, question(1, 100), max_new=1))
    kv.run()
    kv.submit(Request(2, question(2), max_new=45))
    kv.run()
    kv.submit(Request(3, question(1, 100), max_new=1))  # in time
    kv.run()
    assert kv.cached[3] == 99
    kv.submit(Request(4, question(4), max_new=60))
    kv.run()
    kv.submit(Request(5, question(1, 100), max_new=1))  # too late
    kv.run()
    assert kv.cached[5] == 0


def test_with_no_steps_to_stay_nothing_is_kept() -> None:
    kv = engine(idle_steps=0)
    kv.submit(Request(1, question(1, 100), max_new=1))
    kv.run()
    assert kv.cells == 0


def test_many_turns_do_not_leave_sequences_behind_that_others_contain() -> None:
    kv = engine()
    prompt = DOCUMENTS
    for turn in range(10):
        kv.submit(Request(turn, prompt, max_new=3))
        kv.run()
        prompt = prompt + kv.sampled[turn][:-1] + question(turn)
    assert len(kv.sequences) == 1


def test_the_same_question_asked_again_and_again_is_kept_once() -> None:
    kv = engine()
    for number in range(5):
        kv.submit(Request(number, DOCUMENTS, max_new=1))
        kv.run()
    assert kv.cells == len(DOCUMENTS)
