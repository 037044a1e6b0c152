from orchestrator_core.backend import Token
from orchestrator_core.text.answer import AnswerText


def test_a_character_of_several_tokens_carries_their_count() -> None:
    answer = AnswerText([])
    assert answer.feed(b"\xf0\x9f") is None
    assert answer.feed(b"\xa6\x9c") == Token("🦜", 2)


def test_held_back_text_carries_the_count_of_all_its_tokens() -> None:
    answer = AnswerText(["abc"])
    assert answer.feed("a") is None
    assert answer.feed("b") is None
    assert answer.feed("x") == Token("abx", 3)


def test_flush_releases_held_back_text_and_a_broken_tail() -> None:
    answer = AnswerText(["abc"])
    answer.feed(b"ab\xf0\x9f")
    assert answer.flush() == Token("ab\ufffd", 1)
    assert answer.flush() is None


def test_a_stop_inside_the_flushed_tail_is_cut() -> None:
    answer = AnswerText(["\ufffd"])
    assert answer.feed(b"ok\xf0\x9f") == Token("ok", 1)
    assert answer.flush() is None
    assert answer.stopped


def test_text_after_a_broken_byte_piece_keeps_its_order() -> None:
    answer = AnswerText([])
    assert answer.feed(b"a\xf0") == Token("a", 1)
    assert answer.feed("b") == Token("\ufffdb", 1)


def test_nothing_follows_a_stop() -> None:
    answer = AnswerText(["##"], seen="shown #")
    assert answer.feed("# more") is None
    assert answer.stopped
    assert answer.feed("x") is None
    assert answer.flush() is None


def test_half_a_character_at_a_cut_is_dropped_but_held_back_text_is_not() -> None:
    answer = AnswerText(["abc"])
    answer.feed(b"ab\xf0\x9f")
    assert answer.flush(cut_off=True) == Token("ab", 1)
