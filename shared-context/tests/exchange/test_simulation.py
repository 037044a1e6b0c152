"""Replicas that do anything to each other in any order come to have the same, and lose nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from shared_context.documents.store import STEPS
from shared_context.exchange.exchange import PageSize
from support.replica_fleet import CONVERSATIONS, Fleet

WHO = st.integers(0, 99)
CONVERSATION = st.sampled_from(CONVERSATIONS)
MOST_REPLICAS = 5


class Conversations(RuleBasedStateMachine):
    """Three to five replicas, and everything that happens to conversations."""

    documents = 0

    @initialize(size=st.integers(3, 4))
    def begin(self, size: int) -> None:
        self.root = tempfile.TemporaryDirectory()
        self.fleet = Fleet(Path(self.root.name), size, documents=self.documents)

    def one(self, who: int) -> int:
        return who % len(self.fleet.nodes)

    def other(self, who: int) -> int:
        return (who + 1 + who // 7) % len(self.fleet.nodes)

    @rule(who=WHO, conversation=CONVERSATION)
    def say(self, who: int, conversation: str) -> None:
        self.fleet.say(self.one(who), conversation)

    @rule(who=WHO, conversation=CONVERSATION, at=st.integers(0, 99))
    def answer(self, who: int, conversation: str, at: int) -> None:
        self.fleet.answer(self.one(who), conversation, at)

    @rule(who=WHO, conversation=CONVERSATION)
    def deliver_twice(self, who: int, conversation: str) -> None:
        if self.one(who) != self.other(who):
            self.fleet.deliver_twice(self.one(who), self.other(who), conversation)

    @rule(who=WHO, conversation=CONVERSATION, delete=st.booleans())
    def clear(self, who: int, conversation: str, delete: bool) -> None:
        self.fleet.clear(self.one(who), conversation, delete=delete)

    @rule(who=WHO, conversation=CONVERSATION)
    def rename(self, who: int, conversation: str) -> None:
        self.fleet.rename(self.one(who), conversation)

    @rule(who=WHO, steps=st.integers(0, 9), keep=st.booleans())
    def exchange(self, who: int, steps: int, keep: bool) -> None:
        if self.one(who) != self.other(who):
            self.fleet.exchange(self.one(who), self.other(who), steps=steps, keep=keep)

    @rule(who=WHO, seed=st.integers(0, 10**6))
    def late_mail(self, who: int, seed: int) -> None:
        self.fleet.late_mail(self.one(who), Random(seed))

    @rule(who=WHO)
    def crash(self, who: int) -> None:
        self.fleet.crash(self.one(who))

    @rule(who=WHO, steps=st.integers(2, 6))
    def crash_while_receiving(self, who: int, steps: int) -> None:
        one, other = self.one(who), self.other(who)
        if one != other and not self.documents:
            self.fleet.crash(one, lambda: self.fleet.exchange(one, other, steps=steps) and None)

    @rule(who=WHO)
    def back_up(self, who: int) -> None:
        self.fleet.back_up(self.one(who))

    @rule(who=WHO)
    def restore(self, who: int) -> None:
        self.fleet.restore(self.one(who))

    @rule(who=WHO)
    def clone(self, who: int) -> None:
        if len(self.fleet.nodes) < MOST_REPLICAS:
            self.fleet.clone(self.one(who))

    def teardown(self) -> None:
        if not hasattr(self, "fleet"):
            return
        try:
            self.fleet.settle()
            self.fleet.check()
        finally:
            self.fleet.close()
            self.root.cleanup()


class Everything(Conversations):
    """The same with documents on the first two replicas."""

    documents = 2

    @rule(who=WHO, crash_at=st.none() | st.sampled_from(STEPS))
    def append(self, who: int, crash_at: str | None) -> None:
        self.fleet.append(self.one(who), crash_at)

    @rule(caller=st.integers(0, 1), victim=st.integers(0, 1), crash_at=st.sampled_from(STEPS))
    def crash_while_taking_in_documents(self, caller: int, victim: int, crash_at: str) -> None:
        self.fleet.exchange_and_crash(caller, 1 - caller, victim, crash_at)

    @rule(who=WHO, at=st.integers(0, 9), kind=st.sampled_from(["insert", "change"]))
    def edit(self, who: int, at: int, kind: str) -> None:
        self.fleet.edit(self.one(who), at, kind)


TestConversations = Conversations.TestCase
TestConversations.settings = settings(
    max_examples=30, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEverything = Everything.TestCase
TestEverything.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEverything.pytestmark = [pytest.mark.slow]


def wander(fleet: Fleet, random: Random, operations: int) -> None:
    """Anything, at random: much is said, little is restored. For a while at a time some replicas
    can only reach each other, and the rest likewise."""
    apart: set[int] = set()
    kinds = (
        "say",
        "answer",
        "twice",
        "rename",
        "clear",
        "append",
        "edit",
        "exchange",
        "late",
        "crash",
        "restore",
    )
    weights = (28, 8, 4, 8, 1, 4, 4, 38, 3, 1, 1)
    for number, kind in enumerate(random.choices(kinds, weights, k=operations)):
        if number % 50 == 0:
            apart = set(random.sample(range(len(fleet.nodes)), random.randrange(3)))
        who, other = random.sample(range(len(fleet.nodes)), 2)
        conversation = random.choice(CONVERSATIONS)
        match kind:
            case "say":
                fleet.say(who, conversation)
            case "answer":
                fleet.answer(who, conversation, random.randrange(1000))
            case "twice":
                fleet.deliver_twice(who, other, conversation)
            case "rename":
                fleet.rename(who, conversation)
            case "clear":
                fleet.clear(who, conversation, delete=random.random() < 0.5)
            case "append":
                fleet.append(who, random.choice((None, None, *STEPS)))
            case "edit":
                fleet.edit(who, random.randrange(10), random.choice(("insert", "change", "change")))
            case "exchange" if (who in apart) == (other in apart):
                fleet.exchange(
                    who, other, steps=random.choice((1, 2, 3, 5, 100)), keep=random.random() < 0.02
                )
            case "late":
                fleet.late_mail(who, random)
            case "crash" if random.random() < 0.3:
                fleet.exchange_and_crash(who % 2, 1 - who % 2, random.randrange(2), random.choice(STEPS))
            case "crash":
                fleet.crash(who)
            case "restore":
                fleet.restore(who) if who in fleet.backups else fleet.back_up(who)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_operations_end_in_agreement(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, 5, documents=2, page=PageSize(records=50, bytes=20_000))
    try:
        wander(fleet, Random(20_260_000), 10_000)
        fleet.settle()
        fleet.check()
        assert len(fleet.said) > 3000 and len(fleet.entries) > 50
    finally:
        fleet.close()
