"""The whole journey of a phone: home, away in mid-answer, desktop off, no network, home again. See benchmarks/moving_phone.py."""

from __future__ import annotations

import os
from pathlib import Path

import moving_phone
import pytest
from support import namespaces, nginx

_REASON = namespaces.missing() or nginx.missing()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(_REASON is not None and not os.environ.get("CI"), reason=str(_REASON)),
]


def test_wherever_the_phone_is_it_gets_one_true_answer_and_nothing_is_lost(tmp_path: Path) -> None:
    journey = moving_phone.travel(tmp_path)
    assert [(answer["road"]["way"], answer["tier"]) for answer in journey.answers] == [
        ("lan", "desktop"),
        ("vps", "desktop"),
        ("vps", "desktop"),
        ("vps", "vps"),
        ("phone", "phone"),
        ("lan", "desktop"),
    ]
    own_words = {"desktop": moving_phone.HOME, "vps": moving_phone.OUTSIDE, "phone": moving_phone.ON_DEVICE}
    for answer in journey.answers:
        assert answer["response"] == own_words[answer["tier"]]
        assert answer["model"] and answer["reason"]
    assert (journey.lost, journey.doubled, journey.leaked) == ([], [], [])
    assert journey.packets > 0
