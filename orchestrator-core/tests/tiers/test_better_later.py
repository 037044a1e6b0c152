"""Answering a stored question again: at once by a person's wish, or later because a better tier came back."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from orchestrator_core.assistant.reanswer_queue import MOST_KEPT, KeptQuestions
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import Conflict, TierLost
from support.scripted import Gate, Reply, ScriptedBackend
from support.two_tiers import WAIT, TwoTiers, last, lost_after, two_tiers
from support.waiting import wait_until

DESKTOP_SAYS = "The desktop knows: a seam is where 🦜 another one goes on."
VPS_SAYS = " And the vps ends it."


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator_core.assistant.reanswer_queue.LOOK_EVERY_S", 0.02)


class TestAskedAgain:
    def test_the_new_answer_takes_the_place_of_the_former_one(self, open_pair: Any) -> None:
        backend = ScriptedBackend(["First.", "Second turn.", "Better."], name="large")
        desktop = open_pair(backend).desktop
        first = desktop.ask(ChatRequest(message="One?", message_id="m-1"))
        first.wait(WAIT)
        desktop.ask(ChatRequest(message="Two?")).wait(WAIT)
        run = desktop.ask(ChatRequest(message="One?", message_id="m-1", regenerate=True))
        assert run.wait(WAIT).text == "Better."
        said = [message.content for message in desktop.conversations.messages("default")]
        assert said == ["One?", "Better.", "Two?", "Second turn."]
        assert last(run).data["supersedes"] == first.spec.message_id
        assert "First." not in backend.calls[-1].prompt.text
        assert "Two?" not in backend.calls[-1].prompt.text

    def test_later_turns_see_only_the_new_answer(self, open_pair: Any) -> None:
        backend = ScriptedBackend(["First.", "Better.", "Third."], name="large")
        desktop = open_pair(backend).desktop
        desktop.ask(ChatRequest(message="One?", message_id="m-1")).wait(WAIT)
        desktop.ask(ChatRequest(message="One?", message_id="m-1", regenerate=True)).wait(WAIT)
        desktop.ask(ChatRequest(message="Two?")).wait(WAIT)
        prompt = backend.calls[-1].prompt.text
        assert "Better." in prompt
        assert "First." not in prompt

    def test_two_copies_of_the_wish_are_one(self, open_pair: Any) -> None:
        gate = Gate()
        backend = ScriptedBackend(["First.", Reply(text="Better.", gate=gate)], name="large")
        desktop = open_pair(backend).desktop
        desktop.ask(ChatRequest(message="One?", message_id="m-1")).wait(WAIT)
        wish = ChatRequest(message="One?", message_id="m-1", regenerate=True)
        one, two = desktop.ask(wish), desktop.ask(wish)
        gate.open()
        assert one.run_id == two.run_id
        assert one.wait(WAIT).text == "Better."

    def test_a_question_that_is_not_known_is_simply_answered(self, open_pair: Any) -> None:
        desktop = open_pair().desktop
        run = desktop.ask(ChatRequest(message="One?", message_id="m-1", regenerate=True))
        assert run.wait(WAIT).text == DESKTOP_SAYS
        assert run.spec.supersedes is None

    def test_other_words_under_the_id_are_a_conflict(self, open_pair: Any) -> None:
        desktop = open_pair().desktop
        desktop.ask(ChatRequest(message="One?", message_id="m-1")).wait(WAIT)
        with pytest.raises(Conflict):
            desktop.ask(ChatRequest(message="Two?", message_id="m-1", regenerate=True))

    def test_through_the_vps_the_desktop_answers_again(self, open_pair: Any) -> None:
        pair = open_pair(ScriptedBackend(["First.", "Better."], name="large"))
        pair.ask("One?", message_id="m-1").wait(WAIT)
        run = pair.ask("One?", message_id="m-1", regenerate=True)
        assert run.wait(WAIT).text == "Better."
        assert run.run_id == pair.desktop_run(run).run_id
        assert pair.said() == [("user", "One?"), ("assistant", "Better.")]
        assert [one.content for one in pair.answer()[1]] == ["First."]

    def test_and_when_it_is_lost_meanwhile_the_vps_goes_on(self, open_pair: Any) -> None:
        pair = open_pair(ScriptedBackend(["First.", "Better by far."], name="large"))
        pair.ask("One?", message_id="m-1").wait(WAIT)
        pair.wire.change = lost_after(1)
        run = pair.ask("One?", message_id="m-1", regenerate=True)
        assert run.wait(WAIT).text == "Better" + VPS_SAYS
        pair.desktop_run(run)
        assert pair.said() == [("user", "One?"), ("assistant", "Better" + VPS_SAYS)]
        assert [one.content for one in pair.answer()[1]] == ["First.", "Better by far."]

    def test_with_the_desktop_away_the_vps_answers_again(self, open_pair: Any) -> None:
        pair = open_pair()
        pair.ask("One?", message_id="m-1").wait(WAIT)
        pair.wire.leave()
        run = pair.ask("One?", message_id="m-1", regenerate=True)
        assert run.wait(WAIT).text == VPS_SAYS
        pair.wire.come_back()
        assert pair.said() == [("user", "One?"), ("assistant", VPS_SAYS)]
        assert [one.content for one in pair.answer()[1]] == [DESKTOP_SAYS]


class TestBetterLater:
    def check(self, pair: TwoTiers) -> None:
        """The desktop's answer is shown, and the VPS's is kept beside it."""
        wait_until(lambda: pair.desktop.conversations.versions("default") != {})
        assert pair.said()[:2] == [("user", "What is it?"), ("assistant", DESKTOP_SAYS)]
        answer = pair.vps.conversations.messages("default")[1]
        assert answer.receipt is not None
        assert answer.receipt["reason"] == "asked again by the vps"
        (former,) = pair.vps.conversations.versions("default")[answer.message_id]
        assert (former.content, former.tier, answer.supersedes) == (VPS_SAYS, "vps", former.message_id)
        wait_until(lambda: kept(pair) == [])

    def test_the_desktop_answers_when_it_is_back(self, open_pair: Any) -> None:
        pair = open_pair()
        pair.wire.leave()
        pair.ask(better_later=True).wait(WAIT)
        assert kept(pair) != []
        pair.ask("And then?").wait(WAIT)
        pair.wire.come_back()
        self.check(pair)
        assert [text for _, text in pair.said()] == ["What is it?", DESKTOP_SAYS, "And then?", VPS_SAYS]

    def test_the_setting_asks_for_it_and_a_request_may_refuse(self, open_pair: Any) -> None:
        pair = open_pair(better_later=True)
        pair.wire.leave()
        pair.ask(better_later=False).wait(WAIT)
        assert kept(pair) == []
        pair.ask("Another?").wait(WAIT)
        assert len(kept(pair)) == 1

    def test_an_answer_that_was_handed_over_is_given_again_too(self, open_pair: Any) -> None:
        pair = open_pair(ScriptedBackend(["Half of it, and more.", DESKTOP_SAYS], name="large"))
        pair.wire.change = lost_after(2)
        run = pair.ask(better_later=True)
        pair.wire.leave()
        run.wait(WAIT)
        pair.desktop_run(run)
        pair.wire.change = lambda chunks: chunks
        pair.wire.come_back()
        wait_until(lambda: pair.desktop.conversations.messages("default")[-1].content == DESKTOP_SAYS)
        assert pair.said()[-1] == ("assistant", DESKTOP_SAYS)
        assert len(pair.answer()[1]) == 2

    def test_who_asks_for_the_vps_gets_no_second_answer(self, open_pair: Any) -> None:
        pair = open_pair(better_later=True)
        pair.ask(tier="vps").wait(WAIT)
        assert kept(pair) == []

    def test_a_desktop_that_is_lost_again_is_asked_again(self, open_pair: Any) -> None:
        pair = open_pair()
        pair.wire.leave()
        pair.ask(better_later=True).wait(WAIT)
        pair.wire.refusing = TierLost("gone again")
        pair.wire.come_back()
        wait_until(lambda: len(pair.wire.requests) >= 2)
        pair.wire.refusing = None
        self.check(pair)

    def test_a_deleted_question_is_forgotten(self, open_pair: Any) -> None:
        pair = open_pair()
        pair.wire.leave()
        pair.ask(better_later=True).wait(WAIT)
        pair.vps.conversations.clear("default")
        pair.wire.come_back()
        wait_until(lambda: kept(pair) == [])
        assert pair.wire.requests == []

    def test_a_vps_that_stops_does_not_wait_for_the_answer_and_asks_again_when_it_is_back(
        self, tmp_path: Path
    ) -> None:
        gate = Gate()
        desktop = ScriptedBackend([Reply(text="Slow.", gate=gate)], otherwise=DESKTOP_SAYS, name="large")
        vps = ScriptedBackend(otherwise=VPS_SAYS, name="small")
        with two_tiers(tmp_path, desktop, vps) as pair:
            pair.wire.leave()
            pair.ask(better_later=True).wait(WAIT)
            pair.wire.come_back()
            assert gate.wait_blocked()
            pair.vps.close()
            assert not any(thread.name == "asking-later" for thread in threading.enumerate())
            gate.open()
            for run in pair.desktop.runs.active():
                run.wait(WAIT)
        with two_tiers(tmp_path, desktop, vps) as pair:
            wait_until(lambda: kept(pair) == [])
            assert [text for _, text in pair.said()] == ["What is it?", "Slow."]

    def test_it_is_not_forgotten_over_a_restart(self, tmp_path: Path) -> None:
        desktop, vps = (
            ScriptedBackend(otherwise=DESKTOP_SAYS, name="large"),
            ScriptedBackend(otherwise=VPS_SAYS, name="small"),
        )
        with two_tiers(tmp_path, desktop, vps) as pair:
            pair.wire.leave()
            pair.ask(better_later=True).wait(WAIT)
        with two_tiers(tmp_path, desktop, vps) as pair:
            self.check(pair)


def kept(pair: TwoTiers) -> list[str]:
    assert pair.vps._asking._later is not None
    return pair.vps._asking._later._questions.all()


def test_only_so_many_questions_are_kept_the_newest(tmp_path: Path) -> None:
    questions = KeptQuestions(tmp_path / "later.db")
    for number in range(MOST_KEPT + 5):
        questions.add(f"m{number:04}")
    assert len(questions.all()) == MOST_KEPT
    assert questions.all()[-1] == f"m{MOST_KEPT + 4:04}"
    questions.add("m0300")
    questions.close()
