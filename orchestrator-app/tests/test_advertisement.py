from __future__ import annotations

import pytest
from ai_orchestrator.advertisement import MAX_ADDRESSES, advertised, label
from hypothesis import given
from hypothesis import strategies as st

OWN = ["192.168.1.5", "10.8.0.2", "fd00::5"]


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (["0.0.0.0"], OWN[:2]),
        (["::"], OWN[2:]),
        (["0.0.0.0", "::"], OWN),
        (["10.8.0.2"], ["10.8.0.2"]),
        (["127.0.0.1", "::1"], []),
        (["192.0.2.1"], []),
    ],
)
def test_only_addresses_on_which_the_server_listens_are_advertised(
    bound: list[str], expected: list[str]
) -> None:
    assert advertised(bound, OWN) == expected


def test_their_number_is_bounded() -> None:
    assert len(advertised(["0.0.0.0"], [f"10.0.{number}.1" for number in range(200)])) == MAX_ADDRESSES


@given(st.text(max_size=300))
def test_any_machines_name_makes_a_label(name: str) -> None:
    made = label(name)
    assert 0 < len(made.encode()) <= 48 and "." not in made
