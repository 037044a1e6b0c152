"""How long a desktop waits before it dials again."""

from ai_orchestrator.vps_link.backoff import Backoff
from hypothesis import given
from hypothesis import strategies as st


def test_the_bound_doubles_up_to_half_a_minute() -> None:
    longest = Backoff(lambda: 1.0)
    assert [longest.next_s() for _ in range(10)] == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    longest.held(10)
    assert longest.next_s() == 0.25


def test_a_way_that_comes_and_goes_is_tried_again_soon() -> None:
    longest = Backoff(lambda: 1.0)
    for _ in range(20):
        assert longest.next_s() <= 2
        longest.held(0.5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_never_longer_whatever_is_drawn(draws: list[float]) -> None:
    backoff = Backoff(iter([*draws, *draws]).__next__)
    for _ in draws:
        assert 0 <= backoff.next_s() <= 30
        assert 15 <= backoff.slow_s() <= 30
