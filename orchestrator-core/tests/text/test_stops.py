import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from orchestrator_core.text.stops import StopMatcher

# Few letters, so that stops overlap, nest and repeat often.
TEXT = st.text(alphabet="ab🦜", max_size=30)
STOPS = st.lists(st.text(alphabet="ab🦜", min_size=1, max_size=5), max_size=4)
PLACES = st.lists(st.integers(0, 30), max_size=10)


def pieces(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


def expected(text: str, stops: list[str], seen: str = "") -> tuple[str, bool]:
    """The rule, written the slow way: grow the text letter by letter until one stop ends it."""
    for end in range(len(seen) + 1, len(seen) + len(text) + 1):
        whole = (seen + text)[:end]
        ending = [stop for stop in stops if whole.endswith(stop)]
        if ending:
            start = end - max(len(stop) for stop in ending)
            return whole[len(seen) : max(len(seen), start)], True
    return text, False


def run(matcher: StopMatcher, parts: list[str]) -> tuple[str, bool]:
    shown, stopped = "", False
    for part in parts:
        released, stopped = matcher.feed(part)
        shown += released
    return shown + matcher.flush(), stopped


@given(TEXT, STOPS, PLACES, TEXT)
@example("abab", ["babb", "ab"], [1], "")
@example("ab", ["aab", "b"], [1], "")
def test_any_cut_shows_the_text_before_the_first_stop(
    text: str, stops: list[str], places: list[int], seen: str
) -> None:
    assert run(StopMatcher(stops, seen), pieces(text, places)) == expected(text, stops, seen)


@given(TEXT, STOPS, PLACES, TEXT)
def test_no_more_is_held_back_than_may_become_a_stop(
    text: str, stops: list[str], places: list[int], seen: str
) -> None:
    matcher = StopMatcher(stops, seen)
    longest = max((len(stop) for stop in stops), default=1)
    for part in pieces(text, places):
        matcher.feed(part)
        assert len(matcher.held) <= longest - 1
        assert matcher.held == "" or any(matcher.held in stop[:-1] for stop in stops)


@given(TEXT, PLACES)
def test_without_stops_everything_passes_at_once(text: str, places: list[int]) -> None:
    matcher = StopMatcher([])
    for part in pieces(text, places):
        assert matcher.feed(part) == (part, False)
    assert matcher.flush() == ""


@given(TEXT, STOPS, st.integers(0, 30))
def test_a_seam_changes_nothing(text: str, stops: list[str], place: int) -> None:
    """Stop, lose the engine, continue from what was shown: same text as without the loss."""
    before = StopMatcher(stops)
    shown, stopped = before.feed(text[:place])
    if not stopped:
        after = StopMatcher(stops, seen=shown)
        # The held-back text was never shown, so the next engine produces it again.
        more, stopped = run(after, [text[len(shown) :]])
        shown += more
    assert (shown, stopped) == expected(text, stops)


def test_a_stop_across_pieces_is_cut_exactly() -> None:
    matcher = StopMatcher(["</s>"])
    assert matcher.feed("Hello <") == ("Hello ", False)
    assert matcher.feed("/s") == ("", False)
    assert matcher.feed("> more") == ("", True)
    assert matcher.matched == "</s>"


def test_what_only_looked_like_a_stop_is_released() -> None:
    matcher = StopMatcher(["</s>"])
    assert matcher.feed("a </") == ("a ", False)
    assert matcher.feed("b>") == ("</b>", False)


def test_a_stop_that_began_before_the_seam_still_ends_the_answer() -> None:
    matcher = StopMatcher(["END"], seen="the EN")
    assert matcher.feed("D. More") == ("", True)


def test_a_stop_that_was_already_shown_does_not_count_again() -> None:
    assert StopMatcher(["END"], seen="the END").feed(" of it") == (" of it", False)


def test_after_a_stop_nothing_is_released() -> None:
    matcher = StopMatcher(["x"])
    assert matcher.feed("ax") == ("a", True)
    assert matcher.feed("b") == ("", True)
    assert matcher.flush() == ""


def test_of_two_stops_complete_together_the_longer_is_cut() -> None:
    matcher = StopMatcher(["b", "ab"])
    assert matcher.feed("xab") == ("x", True)
    assert matcher.matched == "ab"


def test_an_empty_stop_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        StopMatcher(["a", ""])


def test_one_string_instead_of_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match="not one string"):
        StopMatcher("stop")
