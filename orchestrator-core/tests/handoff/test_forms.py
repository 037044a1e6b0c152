"""Sentences that say what they are by their form. The floors are what was measured: no aim, but a fall is a loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from orchestrator_core.handoff.extract import Kind, extract
from support.prompt_data import conversation

PHRASINGS = Path(__file__).parent / "phrasings"
OPENING = "Hello there, let us talk about the usual things."


def kind_of(one: Any) -> str | None:
    """What a sentence is taken for, in an answered message."""
    before, said = (one["before"], one["say"]) if isinstance(one, dict) else ("All right.", one)
    found = extract(conversation([OPENING, before, said, "Noted."])).facts[1:]
    return found[0].kind.value if found else None


@pytest.mark.parametrize(("name", "right", "wrong"), [("dev", 42, 0), ("held_out", 35, 3)])
def test_phrasings_that_no_list_knows_are_told_apart(name: str, right: int, wrong: int) -> None:
    cases = yaml.safe_load((PHRASINGS / f"{name}.yaml").read_text())
    neither = {str(one): kind_of(one) for one in cases.pop("neither")}
    assert {text: kind for text, kind in neither.items() if kind not in (Kind.SAID, None)} == {}
    found = [(kind, kind_of(one)) for kind, those in cases.items() for one in those]
    assert sum(kind == taken for kind, taken in found) >= right
    assert sum(taken not in (kind, Kind.SAID, None) for kind, taken in found) <= wrong


@pytest.mark.parametrize(
    ("before", "said", "kind"),
    [
        ("Should it run daily or weekly?", "Weekly will do.", Kind.DECIDED),
        ("It can run daily or weekly.", "Weekly will do.", None),
        ("Should it run daily or weekly?", "My phone rings.", None),
        ("What does it run on?", "The old box takes care of all that.", Kind.SAID),
        ("Fine.", "Tomorrow it would have been a year.", Kind.SAID),
        ("Fine.", "Perhaps the lamp was broken yesterday.", Kind.OPEN),
        ("Fine.", "If the cable is new, perhaps the lamp works.", Kind.SAID),
        ("Fine.", "Thanks, see you tomorrow evening then.", None),
        ("Fine.", "`notes.md` lacks a word on lamps.", Kind.TODO),
        ("Fine.", "Every lamp in the house lacks a bulb.", Kind.SAID),
        ("Fine.", "Peut-être que la lampe est trop vieille.", Kind.OPEN),
    ],
)
def test_form_and_what_was_asked_decide(before: str, said: str, kind: Kind | None) -> None:
    assert kind_of({"before": before, "say": said}) == kind
