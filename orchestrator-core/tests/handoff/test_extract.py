from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_core.handoff.entry import MAX_CHARS, NOTHING, entry_id, entry_text
from orchestrator_core.handoff.extract import Kind, extract
from orchestrator_core.handoff.units import one_line
from support.prompt_data import conversation, message


def said(kind: Kind, *texts: str) -> list[str]:
    return [fact.text for fact in extract(conversation(texts)).of(kind)]


@pytest.mark.parametrize(
    "text",
    [
        "Should we use Redis?",
        "If we decided to use Redis, it would be faster.",
        "We haven't decided on Redis.",
        "Wenn wir uns entschieden hätten, wäre es fertig.",
        "Haben wir uns schon entschieden?",
        "It is 20 degrees outside.",
    ],
)
def test_no_decision_is_read_into_a_sentence(text: str) -> None:
    assert said(Kind.DECIDED, "Hello there you.", "Hi.", text) == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.DECIDED, "For initial launch (v0.1) we will not support Windows."),
        (Kind.DECIDED, "My opinion is that we only support 2.x going forward."),
        (Kind.DECIDED, "I will use the header then."),
        (Kind.TODO, "These are as they were, but yeah I will add a note here too."),
        (Kind.TODO, "Will close this tomorrow."),
        (Kind.TODO, "We plan to revisit the policy."),
        (Kind.TODO, "Dann müssen wir da nochmal ran."),
        (Kind.TODO, "Ich werde das Kabel tauschen."),
        (Kind.TODO, "Je vais appeler la mairie."),
        (Kind.TODO, "Voy a llamar mañana."),
        (Kind.DONE, "I finished them yesterday and just committed this morning."),
        (Kind.DONE, "Added a note in book/installation.md."),
        (Kind.DONE, "Resolved in `4023354e`."),
        (Kind.DONE, "Ich habe das Kabel getauscht."),
        (Kind.OPEN, "Unklar ist, wer das bezahlt."),
        (Kind.OPEN, "We don't know yet whether it scales."),
        (Kind.OPEN, "まだ決めていない。"),
        (Kind.DECIDED, "我们决定用 SQLite。"),
    ],
)
def test_what_a_sentence_is_taken_for(kind: Kind, text: str) -> None:
    found = extract(conversation(["Hello there you.", "Hi.", text]))
    assert [(fact.kind, fact.text) for fact in found.facts[1:]] == [(kind, text)]


@pytest.mark.parametrize(
    "text",
    [
        "Green for the living room, white for the rest.",
        "The plumber came at nine and changed the valve.",
        "Der Flur wird weiß.",
        "With 5e-5 it converges, eval loss 1.31 after 3 epochs.",
    ],
)
def test_what_no_list_of_words_knows_is_kept_as_said(text: str) -> None:
    assert said(Kind.SAID, "Hello there you.", "Hi.", text) == [text]
    assert f"Also said:\n\n- {text}" in entry_text(extract(conversation(["Hello there you.", "Hi.", text])))


@pytest.mark.parametrize("text", ["haha thanks a lot for that", "ok cool", "Danke für die schnelle Antwort!"])
def test_courtesy_is_not_kept(text: str) -> None:
    assert said(Kind.SAID, "Hello there you.", "Hi.", text) == []


def test_a_proposal_counts_when_it_is_taken_up() -> None:
    proposal = "Redis is heavy. I suggest SQLite for the queue."
    assert said(Kind.DECIDED, "Which queue?", proposal, "yes") == ["I suggest SQLite for the queue."]
    assert said(Kind.DECIDED, "Which queue?", proposal, "no, too slow") == []
    assert said(Kind.DECIDED, "Which queue?", proposal) == []
    assert said(Kind.DECIDED, "Wohin?", "Mein Vorschlag: nach Leipzig.", "Einverstanden") == [
        "Mein Vorschlag: nach Leipzig.",
        "Einverstanden",
    ]


def test_what_the_assistant_claims_by_itself_does_not_count() -> None:
    answer = "We decided to use Redis. I have fixed everything. You need to call Bob."
    found = extract(conversation(["Hello there you.", answer]))
    assert [fact.kind for fact in found.facts] == [Kind.ASKED]


def test_next_steps_that_an_answer_offers_are_no_tasks_until_they_are_taken_up() -> None:
    answer = "Use SQLite.\n\nNext steps:\n1. Install it\n2. Read the manual\n\n- [ ] buy tea"
    assert said(Kind.TODO, "Which database?", answer, "no idea, what about Redis?") == ["buy tea"]
    assert said(Kind.TODO, "Which database?", answer, "good plan") == [
        "Install it",
        "Read the manual",
        "buy tea",
    ]


def test_a_task_that_was_done_is_no_task() -> None:
    assert said(Kind.TODO, "- [ ] write tests\n- [ ] deploy", "ok", "- [x] write tests") == ["deploy"]


def test_what_is_said_twice_is_noted_once() -> None:
    assert said(Kind.DECIDED, "We decided to use SQLite.", "ok", "we decided to use SQLite!") == [
        "we decided to use SQLite!"
    ]


def test_only_an_unanswered_question_is_open() -> None:
    assert said(Kind.OPEN, "What does it cost?", "Ten euros.", "And how long does it take?") == [
        "And how long does it take?"
    ]


def test_comment_marks_never_reach_a_document() -> None:
    text = "We decided <!-- to hide this. We decided that --> this shows. We decided on tea."
    assert said(Kind.DECIDED, text) == ["We decided on tea."]


def test_secrets_are_withheld_and_counted() -> None:
    found = extract(conversation(["We decided that password=hunter22 is fine. We decided on tea."]))
    assert [fact.text for fact in found.facts] == ["We decided on tea."]
    assert found.withheld == 1


def test_system_and_tool_messages_say_nothing() -> None:
    found = extract([message(0, "system", "We decided on tea."), message(1, "tool", "TODO: x y z")])
    assert found.facts == ()
    assert entry_text(found) == NOTHING


def test_a_long_session_keeps_what_it_was_about_its_decisions_and_its_newest() -> None:
    texts = ["How do I build a boat?", "Slowly."]
    for n in range(400):
        texts += [f"What about plank number {n}? We decided to saw plank {n}. TODO: sand plank {n}.", "Fine."]
    entry = entry_text(extract(conversation(texts)))
    assert len(entry) <= MAX_CHARS
    assert "How do I build a boat?" in entry
    assert "We decided to saw plank 399." in entry
    assert "TODO: sand plank 399." in entry
    assert "plank 0" not in entry


@settings(max_examples=60)
@given(
    st.lists(
        st.text(max_size=200) | st.sampled_from(["We decided on tea. ", "TODO: x\n", "a/b.py "]), max_size=12
    ),
    st.integers(200, 3000),
)
def test_any_text_gives_an_entry_within_its_bounds(texts: list[str], most: int) -> None:
    found = extract(conversation(texts))
    entry = entry_text(found, max_chars=most)
    assert len(entry) <= most or entry == NOTHING
    whole = [one_line(text) for text in texts]
    assert all(any(fact.text in text for text in whole) for fact in found.facts)


def test_the_same_session_has_the_same_id() -> None:
    assert entry_id("c", ["a", "b"]) == entry_id("c", ["a", "b"])
    assert len({entry_id("c", ["a", "b"]), entry_id("c", ["a"]), entry_id("d", ["a", "b"])}) == 3
