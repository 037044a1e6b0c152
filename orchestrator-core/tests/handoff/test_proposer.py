"""A model is asked for a session's items: once for each part, and in vain without harm."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from orchestrator_core.errors import BackendUnreachable
from orchestrator_core.handoff.item import Kind
from orchestrator_core.handoff.proposer import Proposer, ProposingModel
from support.prompt_data import conversation

TODAY = date(2026, 11, 30)
SESSION = conversation(["We keep the red one.", "Noted."])
ANSWER = json.dumps(
    {
        "items": [
            {
                "kind": "decided",
                "text": "Red stays.",
                "quote": "keep the red one",
                "message": 1,
                "lasting": True,
            }
        ]
    }
)


class PlayedRun:
    def __init__(self, text: str = ANSWER, error: Exception | None = None, never: bool = False) -> None:
        self.text, self.error, self.never, self.cancelled = text, error, never, False

    def wait(self, timeout: float) -> PlayedRun:
        if self.never:
            raise TimeoutError
        return self

    def cancel(self) -> None:
        self.cancelled = True


def asking(run: PlayedRun, **fields: Any) -> tuple[Proposer, list[Any]]:
    asked: list[Any] = []

    def complete(messages: Any, config: Any) -> Any:
        asked.append((messages, config))
        return run

    model = ProposingModel(
        complete, lambda text: len(text) // 4, fields.pop("window", 8192), fields.pop("busy", lambda: False)
    )
    clock = iter(range(0, 10_000, 10))
    return Proposer(lambda: model, lambda: float(next(clock))), asked


def test_the_model_is_asked_once_for_the_same_messages() -> None:
    proposer, asked = asking(PlayedRun())
    items, unread, notes = proposer.items(SESSION, [], TODAY)
    assert [(item.kind, item.text) for item in items] == [(Kind.DECIDED, "Red stays.")]
    assert (unread, notes) == ([], [])
    assert proposer.items(SESSION, [], TODAY)[0] == items
    assert len(asked) == 1
    config = asked[0][1]
    assert config.json_schema is not None and config.temperature == 0 and config.repetition_penalty == 1


def test_without_a_fit_model_all_is_left_to_the_markers() -> None:
    assert Proposer(lambda: None).items(SESSION, [], TODAY) == ([], list(SESSION), [])


def test_a_failure_leaves_the_part_unread_and_says_so() -> None:
    proposer, _ = asking(PlayedRun(error=BackendUnreachable("The server is down.")))
    items, unread, notes = proposer.items(SESSION, [], TODAY)
    assert items == [] and unread == list(SESSION)
    assert "The server is down." in notes[0]


def test_the_owner_waits_no_longer_than_promised() -> None:
    run = PlayedRun(never=True)
    proposer, _ = asking(run)
    items, unread, notes = proposer.items(SESSION, [], TODAY)
    assert run.cancelled and items == [] and unread == list(SESSION) and "longer than 30 s" in notes[0]


def test_only_complete_parts_are_read_ahead_and_not_asked_again() -> None:
    long = conversation([f"We keep the red one, said {n}. {'x' * 400}" for n in range(12)])
    proposer, asked = asking(PlayedRun(), window=3000)
    proposer.read_ahead(long, [], TODAY)
    ahead = len(asked)
    assert ahead > 0
    proposer.items(long, [], TODAY)
    assert len(asked) == ahead + 1


def test_reading_ahead_gives_way_to_who_waits() -> None:
    long = conversation([f"said {n}. {'x' * 400}" for n in range(12)])
    proposer, asked = asking(PlayedRun(), window=3000, busy=lambda: True)
    proposer.read_ahead(long, [], TODAY)
    assert asked == []
