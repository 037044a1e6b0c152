"""The route is decided over any course of events: knocks answered late, early, never; roads that fall silent."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from mobile_sync.router import (
    HEAD_START_S,
    HEARTBEAT_S,
    PROBE_S,
    RETRY_S,
    Choice,
    Road,
    Situation,
    Step,
    decide,
)

LAN, OTHER_LAN, VPS = "http://10.0.0.1:5000", "http://[fd00::1]:5000", "https://vps.example"
NEVER = None

latencies = st.one_of(st.none(), st.floats(0.001, 4.0))


class Course:
    """A world in which each road answers its knocks after so many seconds, or never."""

    def __init__(self, latency: dict[str, float | None], **fields: object) -> None:
        self.now = 100.0
        self.latency = latency
        self.roads = {url: Road(url, "vps" if url == VPS else "lan") for url in latency}
        self.fields = fields
        self.knocks: list[tuple[float, str]] = []

    def choose(self, limit_s: float = 30.0) -> tuple[Choice, float]:
        """The choice, and how long it took."""
        began = self.now
        while self.now - began <= limit_s:
            step = self.step(began)
            if step.choice is not None:
                return step.choice, self.now - began
            self.now = self._next(step)
        raise AssertionError("nothing was ever chosen")

    def step(self, began: float) -> Step:
        self._answer()
        step = decide(Situation(self.now, began, tuple(self.roads.values()), **self.fields))  # type: ignore[arg-type]
        for url in step.give_up:
            self.roads[url] = replace(self.roads[url], asked_at=None, failed_at=self.now)
        for url in step.knock:
            assert self.roads[url].asked_at is None, "knocked twice at once"
            self.knocks.append((self.now, url))
            self.roads[url] = replace(self.roads[url], asked_at=self.now)
        assert step.look_at > self.now or step.choice is not None or step.give_up
        return step

    def _answer(self) -> None:
        for url, road in self.roads.items():
            after = self.latency[url]
            if road.asked_at is None or after is None or after >= PROBE_S:
                continue
            if road.asked_at + after <= self.now + 1e-9:
                self.roads[url] = replace(road, asked_at=None, heard_at=self.now, failed_at=None)

    def _next(self, step: Step) -> float:
        answers = [
            road.asked_at + after
            for url, road in self.roads.items()
            if road.asked_at is not None and (after := self.latency[url]) is not None and after < PROBE_S
        ]
        return max(min([step.look_at, *answers]), self.now + 1e-6)


@given(st.fixed_dictionaries({LAN: latencies, OTHER_LAN: latencies, VPS: latencies}), st.booleans())
def test_a_choice_is_always_made_soon_and_is_the_best_that_answers(
    latency: dict[str, float | None], own_model: bool
) -> None:
    choice, took = Course(latency, own_model=own_model).choose()
    lan = min((latency[url] or 99 for url in (LAN, OTHER_LAN)), default=99)
    vps = latency[VPS] or 99
    assert took <= HEAD_START_S + PROBE_S + 0.001
    if lan < HEAD_START_S:
        assert choice.way == "lan"
    elif min(lan, vps) >= PROBE_S:
        assert choice.way == ("phone" if own_model else "queue")
    else:
        assert choice.way in ("lan", "vps")
        first = min(lan, vps + HEAD_START_S)
        assert abs(took - first) < 0.002 or took <= first


@given(st.fixed_dictionaries({LAN: latencies, VPS: latencies}))
def test_the_vps_is_not_knocked_while_the_network_has_its_head_start(
    latency: dict[str, float | None],
) -> None:
    course = Course(latency)
    course.choose()
    assert all(moment >= 100.0 + HEAD_START_S for moment, url in course.knocks if url == VPS)


@given(
    st.lists(
        st.builds(
            Road,
            st.sampled_from([LAN, OTHER_LAN, VPS]),
            st.sampled_from(["lan", "vps"]),
            st.none() | st.floats(90, 100),
            st.none() | st.floats(90, 100),
            st.none() | st.floats(90, 100),
        ),
        max_size=4,
        unique_by=lambda road: road.url,
    ),
    st.booleans(),
)
def test_what_is_silent_for_a_heartbeat_is_never_chosen(roads: list[Road], own_model: bool) -> None:
    step = decide(Situation(100.0, 99.0, tuple(roads), own_model=own_model))
    by_url = {road.url: road for road in roads}
    if step.choice is not None and step.choice.url is not None:
        chosen = by_url[step.choice.url]
        assert chosen.heard_at is not None and 100.0 - chosen.heard_at < HEARTBEAT_S
        assert chosen.failed_at is None
        assert chosen.kind == "lan" or not any(
            road.kind == "lan" and road.is_alive(100.0) and road.url not in step.give_up for road in roads
        )
    for url in step.knock:
        failed = by_url[url].failed_at
        assert by_url[url].asked_at is None and (failed is None or 100.0 - failed >= RETRY_S)


def test_a_road_in_use_that_falls_silent_is_dead_within_one_heartbeat() -> None:
    course = Course({LAN: 0.01, VPS: 0.05})
    assert course.choose()[0].url == LAN
    heard = course.roads[LAN].heard_at
    assert heard is not None
    course.latency[LAN] = NEVER
    while course.roads[LAN].is_alive(course.now):
        course.now = course._next(course.step(heard))
    assert course.now - heard <= HEARTBEAT_S + 0.001
    assert course.choose()[0].way == "vps"


def test_the_desktop_is_found_again_when_it_is_back_in_the_network() -> None:
    course = Course({LAN: NEVER, VPS: 0.05})
    assert course.choose()[0].way == "vps"
    course.latency[LAN] = 0.01
    course.now += RETRY_S + PROBE_S
    assert course.choose()[0].way == "lan"


def test_the_address_that_won_here_before_is_preferred_among_those_that_answer() -> None:
    roads = tuple(Road(url, "lan", heard_at=99.5) for url in (LAN, OTHER_LAN))
    for winner in (LAN, OTHER_LAN):
        choice = decide(Situation(100.0, 99.0, roads, winner=winner)).choice
        assert choice is not None and choice.url == winner


def test_simple_questions_go_to_the_own_model_only_where_there_is_one() -> None:
    road = (Road(LAN, "lan", heard_at=99.9),)
    own = decide(Situation(100.0, 100.0, road, own_model=True, own_model_first=True)).choice
    none = decide(Situation(100.0, 100.0, road, own_model=False, own_model_first=True)).choice
    assert own is not None and own.way == "phone"
    assert none is not None and none.way == "lan"


def test_without_any_address_the_message_is_queued_at_once() -> None:
    choice, took = Course({}).choose()
    assert (choice.way, took) == ("queue", 0.0)
