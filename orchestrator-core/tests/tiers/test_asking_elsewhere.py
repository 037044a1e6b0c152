"""Questions that reach the VPS: answered by the desktop, or by the VPS in its place, and labelled truly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.errors import (
    Conflict,
    ContextLengthExceeded,
    InvalidRequest,
    OrchestratorError,
    Overloaded,
    ServerStopping,
    TierLost,
    TierUnreachable,
)
from orchestrator_core.runs.spec import RunState
from shared_context.errors import ConversationNotFound, StoreFull
from support.scripted import Gate, Reply, ScriptedBackend
from support.scripted.script import words
from support.two_tiers import WAIT, kinds, last, lost_after

DESKTOP_SAYS = "The desktop knows: a seam is where 🦜 another one goes on."
VPS_SAYS = " And the vps ends it."


def test_the_desktop_answers_and_both_have_it_once(open_pair: Any) -> None:
    pair = open_pair()
    run = pair.ask()
    assert run.wait(WAIT).text == DESKTOP_SAYS
    there = pair.desktop_run(run)
    done, told = last(run).data, last(there).data
    assert {**done, "timestamp": ""} == {**told, "timestamp": ""}
    assert (done["tier"], done["model"], done["reason"]) == ("desktop", "large", "the desktop is there")
    assert kinds(run) == kinds(there) == ["token"] * len(words(DESKTOP_SAYS)) + ["done"]
    question, answer = pair.vps.conversations.messages("default")
    assert (question.role, question.tier) == ("user", "vps")
    assert (answer.content, answer.tier, answer.model) == (DESKTOP_SAYS, "desktop", "large")
    assert answer.receipt == done["receipt"]
    assert pair.said() == [("user", "What is it?"), ("assistant", DESKTOP_SAYS)]
    assert pair.answer()[1] == []


def test_when_it_is_away_the_vps_answers_and_says_why(open_pair: Any) -> None:
    pair = open_pair()
    pair.wire.leave()
    done = last(pair.ask()).data
    assert (done["tier"], done["model"]) == ("vps", "small")
    assert done["reason"] == done["receipt"]["reason"] == "the desktop is away (the plug was pulled)"
    pair.wire.come_back()
    assert pair.said() == [("user", "What is it?"), ("assistant", VPS_SAYS)]
    assert pair.answer()[0].tier == "vps"


def test_a_conversation_that_was_begun_here_a_moment_ago_is_known_there(open_pair: Any) -> None:
    pair = open_pair()
    pair.ask().wait(WAIT)
    pair.vps.conversations.create("new")
    done = last(pair.ask("And here?", conversation_id="new")).data
    assert (done["tier"], done["conversation_id"]) == ("desktop", "new")


def test_a_conversation_that_was_begun_there_is_asked_about_without_waiting(open_pair: Any) -> None:
    pair = open_pair()
    pair.ask().wait(WAIT)
    pair.desktop.conversations.create("new")
    pair.exchange()
    assert pair.vps.conversations.get("new").turn_count == 0
    settles = pair.wire.settles
    assert last(pair.ask("And here?", conversation_id="new")).data["tier"] == "desktop"
    assert pair.wire.settles == settles


def test_the_next_question_goes_back_to_the_desktop_with_what_was_said_meanwhile(open_pair: Any) -> None:
    desktop = ScriptedBackend(otherwise=DESKTOP_SAYS, name="large")
    pair = open_pair(desktop)
    pair.wire.leave()
    pair.ask("While you were away?").wait(WAIT)
    pair.wire.come_back()
    assert last(pair.ask("And now?")).data["tier"] == "desktop"
    prompt = desktop.calls[-1].prompt.text
    assert prompt.index("While you were away?") < prompt.index(VPS_SAYS) < prompt.index("And now?")


def test_nothing_waits_for_an_exchange_while_only_the_desktop_answers(open_pair: Any) -> None:
    pair = open_pair()
    for number in range(3):
        pair.ask(f"{number}?").wait(WAIT)
    assert pair.wire.settles == 1  # what was there before the start may not have been exchanged


def test_a_desktop_that_does_not_take_in_what_was_said_is_not_asked(open_pair: Any) -> None:
    pair = open_pair()
    pair.wire.settling = lambda: False
    done = last(pair.ask()).data
    assert done["tier"] == "vps"
    assert "has not taken in yet what was said here" in done["reason"]


@pytest.mark.parametrize(
    "error",
    [
        TierUnreachable("The desktop is not connected."),
        TierLost("The desktop did not answer within 30 s."),
    ],
)
def test_a_desktop_that_does_not_begin_to_answer_is_replaced(
    open_pair: Any, error: OrchestratorError
) -> None:
    pair = open_pair()
    pair.wire.refusing = error
    run = pair.ask()
    assert run.wait(WAIT).text == VPS_SAYS
    assert kinds(run) == ["token"] * len(words(VPS_SAYS)) + ["done"]
    done = last(run).data
    assert done["tier"] == "vps"
    assert error.message[4:-1] in done["reason"]


def test_an_answer_that_the_desktop_gives_unseen_is_a_version_of_the_one_that_was_seen(
    open_pair: Any,
) -> None:
    """The request got through, and the connection was lost before the head of the answer."""
    pair = open_pair()
    unseen = pair.desktop.ask(ChatRequest(message="What is it?", message_id="m-1", tier="desktop", via="vps"))
    unseen.wait(WAIT)
    pair.wire.refusing = TierLost("no head")
    run = pair.ask(message_id="m-1")
    run.wait(WAIT)
    assert run.run_id == unseen.run_id
    assert pair.said() == [("user", "What is it?"), ("assistant", VPS_SAYS)]
    assert [version.content for version in pair.answer()[1]] == [DESKTOP_SAYS]


class TestWishes:
    def test_the_vps_is_asked_when_it_is_wanted(self, open_pair: Any) -> None:
        pair = open_pair()
        done = last(pair.ask(tier="vps")).data
        assert (done["tier"], done["reason"]) == ("vps", "the vps was asked for")

    def test_a_desktop_that_is_wanted_and_away_is_an_error_and_nothing_is_stored(
        self, open_pair: Any
    ) -> None:
        pair = open_pair()
        pair.wire.leave()
        with pytest.raises(TierUnreachable, match="plug was pulled"):
            pair.ask(tier="desktop")
        pair.wire.come_back()
        pair.wire.refusing = TierLost("gone")
        with pytest.raises(TierLost):
            pair.ask(tier="desktop")
        assert pair.said() == []

    def test_a_desktop_that_was_asked_by_another_tier_does_not_pass_it_on(self, open_pair: Any) -> None:
        pair = open_pair()
        pair.ask().wait(WAIT)
        ((_, _, body),) = pair.wire.requests
        assert (body["tier"], body["via"]) == ("desktop", "vps")

    def test_a_long_queue_there_is_a_reason_to_answer_here(self, open_pair: Any) -> None:
        pair = open_pair(overflow_queue=2)
        pair.wire.known = replace(pair.wire.known, queue=3)
        done = last(pair.ask()).data
        assert (done["tier"], done["reason"]) == ("vps", "the desktop is busy (3 answers wait there)")


class TestRefusals:
    """What the desktop refuses is refused, with its words and its status."""

    def test_a_full_queue_is_passed_on_with_its_time_to_wait(self, open_pair: Any) -> None:
        refusing = Reply(refuse=Overloaded("Full.", retry_after_s=7))
        pair = open_pair(ScriptedBackend([refusing], name="large"))
        with pytest.raises(Overloaded) as caught:
            pair.ask()
        assert (caught.value.status, caught.value.message) == (429, "Full.")
        assert caught.value.retry_after_s == 7
        assert pair.vps.conversations.messages("default") == []

    def test_a_bad_request_stays_one(self, open_pair: Any) -> None:
        pair = open_pair()
        with pytest.raises(ContextLengthExceeded, match="window"):
            pair.ask("word " * 9000)
        with pytest.raises(ConversationNotFound, match="no conversation 'nowhere'"):
            pair.ask(conversation_id="nowhere")
        assert pair.vps.conversations.messages("default") == []

    def test_a_broken_model_there_is_an_error_not_a_reason_to_answer_here(self, open_pair: Any) -> None:
        pair = open_pair(ScriptedBackend([Reply(refuse=OrchestratorError("Broken.", code="broken"))]))
        with pytest.raises(OrchestratorError, match="Broken"):
            pair.ask()

    @pytest.mark.parametrize("code", ["stopping", "loading"])
    def test_a_desktop_that_is_being_stopped_or_started_is_as_good_as_away(
        self, open_pair: Any, code: str
    ) -> None:
        pair = open_pair(ScriptedBackend([Reply(refuse=ServerStopping("In a moment.", code=code))]))
        done = last(pair.ask()).data
        assert (done["tier"], done["reason"]) == ("vps", "the desktop did not answer (in a moment)")

    def test_questions_without_sense_are_refused_before_anybody_is_asked(self, open_pair: Any) -> None:
        pair = open_pair()
        with pytest.raises(InvalidRequest, match="Which question"):
            pair.ask(regenerate=True)
        assert pair.wire.requests == []


class TestFullDisks:
    """A tier whose disk is full is no reason for a person to get nothing while another one could answer."""

    @staticmethod
    def fill(tier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*arguments: Any, **fields: Any) -> None:
            raise StoreFull("The disk is full.")

        monkeypatch.setattr(tier.conversations, "add_message", full)
        monkeypatch.setattr(tier.runs._store, "create", full)

    def test_the_vps_answers_what_a_full_desktop_cannot_keep(
        self, open_pair: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pair = open_pair()
        self.fill(pair.desktop, monkeypatch)
        done = last(pair.ask()).data
        assert (done["tier"], done["response"]) == ("vps", VPS_SAYS)
        assert done["reason"] == "the desktop could not store it (the disk is full)"
        assert [message.content for message in pair.vps.conversations.messages("default")] == [
            "What is it?",
            VPS_SAYS,
        ]

    def test_a_full_desktop_that_was_asked_for_says_so(
        self, open_pair: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pair = open_pair()
        self.fill(pair.desktop, monkeypatch)
        with pytest.raises(StoreFull):
            pair.ask(tier="desktop")

    def test_a_full_vps_passes_on_what_the_desktop_answers_and_keeps(
        self, open_pair: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pair = open_pair()
        with monkeypatch.context() as patched:
            self.fill(pair.vps, patched)
            done = last(pair.ask()).data
            assert (done["tier"], done["response"]) == ("desktop", DESKTOP_SAYS)
            assert done["message_id"] == pair.desktop.conversations.messages("default")[-1].message_id
            assert pair.vps.conversations.messages("default") == []
        assert pair.said() == [("user", "What is it?"), ("assistant", DESKTOP_SAYS)]

    def test_a_full_vps_has_no_answer_of_its_own(
        self, open_pair: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pair = open_pair()
        pair.wire.leave()
        self.fill(pair.vps, monkeypatch)
        with pytest.raises(StoreFull):
            pair.ask()


class TestSentTwice:
    def test_while_the_desktop_is_there_and_after_it_left(self, open_pair: Any) -> None:
        pair = open_pair()
        first = pair.ask(message_id="m-1")
        first.wait(WAIT)
        assert pair.ask(message_id="m-1").run_id == first.run_id
        pair.wire.leave()
        again = pair.ask(message_id="m-1")
        assert again.run_id == first.run_id
        assert again.wait(WAIT).text == DESKTOP_SAYS
        pair.wire.come_back()
        assert pair.said() == [("user", "What is it?"), ("assistant", DESKTOP_SAYS)]

    def test_at_the_desktop_itself_and_at_the_vps_when_it_left(self, open_pair: Any) -> None:
        """A phone that changes from the LAN to the VPS in the middle of an answer."""
        gate = Gate()
        pair = open_pair(ScriptedBackend([Reply(text=DESKTOP_SAYS, gate=gate)], name="large"))
        there = pair.desktop.ask(ChatRequest(message="What is it?", message_id="m-1"))
        gate.allow(3)
        pair.wire.leave()
        here = pair.ask(message_id="m-1")
        assert here.wait(WAIT).text == VPS_SAYS
        gate.open()
        there.wait(WAIT)
        pair.wire.come_back()
        assert pair.said() == [("user", "What is it?"), ("assistant", VPS_SAYS)]
        assert [version.content for version in pair.answer()[1]] == [DESKTOP_SAYS]

    def test_a_run_that_the_desktop_has_already_ended_is_replayed_through_the_vps(
        self, open_pair: Any
    ) -> None:
        pair = open_pair()
        there = pair.desktop.ask(ChatRequest(message="What is it?", message_id="m-1"))
        there.wait(WAIT)
        here = pair.ask(message_id="m-1")
        assert here.wait(WAIT).text == DESKTOP_SAYS
        assert last(here).data["message_id"] == there.spec.message_id
        assert pair.said() == [("user", "What is it?"), ("assistant", DESKTOP_SAYS)]
        assert pair.answer()[1] == []


class TestStopping:
    def test_the_desktop_stops_as_well_and_both_have_the_same_part(self, open_pair: Any) -> None:
        gate = Gate()
        pair = open_pair(ScriptedBackend([Reply(text=DESKTOP_SAYS, gate=gate)], name="large"))
        gate.allow(3)
        run = pair.ask()
        _wait_for_tokens(run, 3)
        run.cancel()
        result = run.wait(WAIT)
        there = pair.desktop_run(run)
        assert result.state is there.state is RunState.CANCELLED
        assert result.text == there.text == "".join(words(DESKTOP_SAYS)[:3])
        assert last(run).data["finish_reason"] == "cancelled"
        assert pair.said() == [("user", "What is it?"), ("assistant", result.text)]
        assert pair.answer()[1] == []

    def test_a_stop_at_the_desktop_ends_it_here(self, open_pair: Any) -> None:
        gate = Gate()
        pair = open_pair(ScriptedBackend([Reply(text=DESKTOP_SAYS, gate=gate)], name="large"))
        gate.allow(2)
        run = pair.ask()
        _wait_for_tokens(run, 2)
        pair.desktop.runs.get(run.run_id).cancel()
        assert run.wait(WAIT).state is RunState.CANCELLED
        assert pair.answer()[1] == []

    def test_a_stop_that_does_not_reach_the_desktop_keeps_what_was_seen(
        self, open_pair: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("orchestrator_core.tiers.relayed.STOP_S", 0.05)
        gate = Gate()
        pair = open_pair(ScriptedBackend([Reply(text=DESKTOP_SAYS, gate=gate)], name="large"))
        gate.allow(3)
        run = pair.ask()
        _wait_for_tokens(run, 3)
        pair.wire.leave()
        run.cancel()
        result = run.wait(WAIT)
        assert result.state is RunState.CANCELLED
        gate.open()
        assert pair.desktop_run(run).text == DESKTOP_SAYS
        pair.wire.come_back()
        assert pair.said() == [("user", "What is it?"), ("assistant", result.text)]
        assert [version.content for version in pair.answer()[1]] == [DESKTOP_SAYS]

    def test_a_question_deleted_there_stores_no_answer_here(self, open_pair: Any) -> None:
        gate = Gate()
        pair = open_pair(ScriptedBackend([Reply(text=DESKTOP_SAYS, gate=gate)], name="large"))
        gate.allow(2)
        run = pair.ask()
        _wait_for_tokens(run, 2)
        pair.desktop.conversations.clear("default")
        gate.open()
        run.wait(WAIT)
        assert last(run).data["message_id"] is None
        assert pair.said() == []


def test_what_is_wrong_there_in_mid_answer_is_an_error_here(open_pair: Any) -> None:
    reply = Reply(text=DESKTOP_SAYS, crash_after=(3,), failure=OrchestratorError("Broken.", code="broken"))
    pair = open_pair(ScriptedBackend([reply], name="large"))
    run = pair.ask()
    result = run.wait(WAIT)
    assert (result.state, kinds(run)[-1]) == (RunState.FAILED, "error")
    assert last(run).data["error"]["code"] == "broken"
    assert pair.said()[-1] == ("assistant", "".join(words(DESKTOP_SAYS)[:3]))
    assert pair.answer()[1] == []


def test_a_seam_there_is_a_seam_here(open_pair: Any) -> None:
    pair = open_pair(ScriptedBackend([Reply(text=DESKTOP_SAYS, crash_after=(3,))], name="large"))
    run = pair.ask()
    assert run.wait(WAIT).text == DESKTOP_SAYS
    assert kinds(run).count("seam") == 1
    seam = next(event for event in run.events() if event is not None and event.kind == "seam")
    assert (seam.data["tier"], seam.data["model"]) == ("desktop", "large")
    assert last(run).data["receipt"] == last(pair.desktop_run(run)).data["receipt"]


def test_a_question_that_another_tier_answered_is_answered_from_the_memory(open_pair: Any) -> None:
    """Its run is not known here: the phone asked the desktop at home, which left after an exchange."""
    pair = open_pair()
    there = pair.desktop.ask(ChatRequest(message="What is it?", message_id="m-1"))
    there.wait(WAIT)
    pair.exchange()
    pair.wire.leave()
    here = pair.ask(message_id="m-1")
    assert here.wait(WAIT).text == DESKTOP_SAYS
    assert kinds(here) == ["token", "done"]
    done, told = last(here).data, last(there).data
    for name in ("response", "message_id", "run_id", "tier", "model", "reason", "receipt", "done"):
        assert done[name] == told[name]
    assert pair.vps.runs.get(here.run_id) is here
    pair.wire.come_back()
    assert pair.said() == [("user", "What is it?"), ("assistant", DESKTOP_SAYS)]


def test_an_answer_without_a_run_is_told_again_too(open_pair: Any) -> None:
    pair = open_pair()
    pair.vps.conversations.add_message("default", "user", "What is it?", message_id="m-1")
    pair.vps.conversations.add_message("default", "assistant", "It.", reply_to="m-1")
    assert pair.ask(message_id="m-1").wait(WAIT).text == "It."
    with pytest.raises(Conflict, match="another message"):
        pair.ask("Another?", message_id="m-1")


def _wait_for_tokens(run: Any, count: int) -> None:
    seen = 0
    for event in run.events(timeout=WAIT):
        assert event is not None
        seen += event.kind == "token"
        if seen == count:
            return


def test_the_connection_may_be_lost_before_the_first_word(open_pair: Any) -> None:
    pair = open_pair()
    pair.wire.change = lost_after(0)
    run = pair.ask()
    assert run.wait(WAIT).text == VPS_SAYS
    assert "seam" not in kinds(run)
    assert last(run).data["tier"] == "vps"
    assert "lost before it said anything" in last(run).data["reason"]
