from __future__ import annotations

from collections import Counter
from datetime import UTC
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orchestrator_core.backend import Prompt
from orchestrator_core.errors import ContextLengthExceeded
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.builder import PromptBuilder, PromptRequest
from orchestrator_core.prompt.receipt import Receipt
from shared_context.conversations.messages import Message
from support.chat_templates import CHATML, GEMMA, LLAMA_3, MISTRAL_LAST
from support.prompt_data import AT, conversation, documents
from support.scripted import ScriptedBackend

DOCUMENTS = documents(
    [
        "# Portfolio\n\nOne house, one garden.\n",
        "# Project\n\n## Purpose\n\nTo live in.\n\n## Decisions\n\n" + "- a decision was made\n" * 60,
        "# Briefing\n\nThe door is being painted.\n",
        "# Log\n\n" + "".join(f"## 2026-01-{n:02}\n\nPainted wall {n}.\n\n" for n in range(1, 29)),
    ]
)


def build(backend: ScriptedBackend, message: str = "What is done?", **given: Any) -> Any:
    request = {"created_at": AT, "config": GenerationConfig(), "documents": DOCUMENTS, **given}
    return PromptBuilder(backend, zone=UTC).build(PromptRequest(message=message, **request))


def test_the_order_is_system_documents_history_message() -> None:
    built = build(ScriptedBackend(), history=conversation(["q1", "a1"]), context="Extra words.")
    text = built.prompt.text
    parts = (
        "You are Orchestrator",
        "One house",
        "To live in",
        "being painted",
        "wall 1.",
        "wall 28.",
        "q1",
        "a1",
    )
    places = [text.index(part) for part in parts]
    places += [text.rindex(part) for part in ("[Friday, 2026-10-02", "Extra words.", "What is done?")]
    assert places == sorted(places)
    assert text.endswith("What is done?[/INST]")
    assert built.prompt.messages[0].role is Role.SYSTEM
    assert built.receipt.history.kept == 2


def test_the_stable_prefix_is_everything_up_to_the_end_of_the_documents() -> None:
    prompt = build(ScriptedBackend(), history=conversation(["q1", "a1"])).prompt
    assert prompt.text[: prompt.stable_prefix].endswith("Painted wall 28.\n</document>")


@pytest.mark.parametrize("window", [512, 1024, 2048, 8192])
def test_what_is_known_about_the_owner_is_in_every_prompt(window: int) -> None:
    known = [f"- Dislikes food number {number}" for number in range(5)]
    portfolio = "# Portfolio\n\n" + "A project. " * 4000 + "\n\n## About the owner\n\n" + "\n".join(known)
    texts = [portfolio, *("# More\n\n## A section\n\n" + "word " * 9000 for _ in range(3))]
    built = build(
        ScriptedBackend(context_length=window),
        documents=documents(texts),
        history=conversation(["words of a turn " * 20] * 200),
    )
    assert all(fact in built.prompt.text for fact in known)


@pytest.mark.parametrize("template", [None, CHATML, LLAMA_3, GEMMA, MISTRAL_LAST], ids=str)
def test_each_turns_prompt_begins_with_the_one_before(template: str | None) -> None:
    """T8: what was computed for a turn serves the next one, until something has to be dropped."""
    said: list[Message] = []
    previous = ""
    builder = PromptBuilder(ScriptedBackend(template=template), zone=UTC)
    for turn in range(8):
        at = f"2026-10-0{turn + 1}T23:59:00Z"
        asked = Message(f"q{turn}", "default", "user", f"question {turn}", at)
        request = PromptRequest(
            asked.content, at, GenerationConfig(), history=list(said), documents=DOCUMENTS
        )
        text = builder.build(request).prompt.text
        assert text.startswith(previous)
        previous = text
        said += [
            asked,
            Message(f"a{turn}", "default", "assistant", f"answer {turn}", at, reply_to=f"q{turn}"),
        ]


def test_a_change_in_the_log_leaves_what_stands_before_it() -> None:
    builder = PromptBuilder(ScriptedBackend(), zone=UTC)
    longer = [*DOCUMENTS[:3], documents(["", "", "", DOCUMENTS[3].text + "## 2026-02-01\n\nMore.\n"])[3]]
    first, second = (
        builder.build(PromptRequest("x", AT, GenerationConfig(), documents=given)).prompt.text
        for given in (DOCUMENTS, longer)
    )
    same = first.index("</document>", first.index("SESSION_LOG")) - 1
    assert first[:same] == second[:same]


def test_an_untouched_starter_is_not_shown() -> None:
    from shared_context.documents.document_names import DOCUMENT_NAMES
    from shared_context.documents.starters import starter_text

    built = build(ScriptedBackend(), documents=documents([starter_text(name) for name in DOCUMENT_NAMES]))
    assert {use.state for use in built.receipt.documents} == {"untouched"}
    assert "<document" not in built.prompt.text


def test_comments_of_the_owner_are_not_shown() -> None:
    texts = ["# P\n\nSeen. <!-- not seen -->\n", "", "", ""]
    text = build(ScriptedBackend(), documents=documents(texts)).prompt.text
    assert "Seen." in text
    assert "not seen" not in text


def test_what_was_cut_is_in_the_receipt_and_told_to_the_model() -> None:
    built = build(ScriptedBackend(context_length=900), history=conversation(["word " * 40] * 40))
    uses = {use.name: use for use in built.receipt.documents}
    project, log = uses["PROJECT_CONTEXT.md"], uses["SESSION_LOG.md"]
    assert (project.state, project.left_out) == ("shortened", ("Decisions",))
    assert project.tokens > 0
    assert project.tokens_left_out > 0
    assert "[Shortened. Left out: Decisions.]" in built.prompt.text
    assert log.left_out[0] == "2026-01-01"
    shown = built.prompt.text.count("Painted wall")
    assert 0 < shown < 28
    assert f"[Left out: {28 - shown} older entries.]" in built.prompt.text
    assert uses["PORTFOLIO_CONTEXT.md"].state == "whole"
    history = built.receipt.history
    assert history.kept + history.dropped == 40
    assert history.dropped > 0
    assert f"[{history.dropped} earlier messages of this conversation are left out.]" in built.prompt.text


def test_a_document_of_which_nothing_fits_is_named() -> None:
    endless = "word " * 4000
    built = build(
        ScriptedBackend(context_length=900), documents=documents(["# P\n\nShort.\n", endless, "", ""])
    )
    use = built.receipt.documents[1]
    assert (use.state, use.tokens, use.left_out) == ("left_out", 0, ("everything",))
    assert use.tokens_left_out > 3000
    assert "[Left out for lack of room: PROJECT_CONTEXT.md.]" in built.prompt.text


def test_the_receipt_is_json_and_survives_it() -> None:
    receipt = build(ScriptedBackend(context_length=700)).receipt
    assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt


def test_a_default_answer_length_is_lowered_for_a_small_window_and_the_receipt_says_so() -> None:
    config = GenerationConfig(max_new_tokens=512)
    built = build(ScriptedBackend(context_length=400), config=config)
    assert built.config.max_new_tokens == 100
    assert (built.receipt.max_tokens, built.receipt.max_tokens_lowered_from) == (100, 512)
    roomy = build(ScriptedBackend(context_length=8192), config=config)
    assert (roomy.receipt.max_tokens, roomy.receipt.max_tokens_lowered_from) == (512, None)


@pytest.mark.parametrize("window", [400, 2048, 8192])
def test_an_answer_without_a_limit_may_have_what_the_window_leaves(window: int) -> None:
    built = build(ScriptedBackend(context_length=window))
    assert built.config.max_new_tokens is None
    assert (built.receipt.max_tokens, built.receipt.max_tokens_lowered_from) == (
        window - built.prompt_tokens,
        None,
    )
    assert built.receipt.max_tokens >= min(512, window // 4)


def test_room_is_kept_for_the_beginning_of_an_answer_that_is_continued() -> None:
    shown = "said before " * 60
    built = build(ScriptedBackend(context_length=1000), shown=shown)
    assert built.prompt_tokens <= 1000 - 64 and shown not in built.prompt.text
    with pytest.raises(ContextLengthExceeded):
        build(ScriptedBackend(context_length=1000), shown=shown * 8)


def test_an_explicit_max_tokens_is_kept_and_the_rest_makes_room() -> None:
    config = GenerationConfig(max_new_tokens=800)
    built = build(ScriptedBackend(context_length=1000), config=config, explicit_max_tokens=True)
    assert built.config.max_new_tokens == 800
    assert built.prompt_tokens <= 200
    assert {use.state for use in built.receipt.documents} & {"left_out", "shortened"}


def test_an_explicit_max_tokens_that_can_never_fit_is_refused_with_numbers() -> None:
    config = GenerationConfig(max_new_tokens=990)
    with pytest.raises(ContextLengthExceeded) as caught:
        build(ScriptedBackend(context_length=1000), config=config, explicit_max_tokens=True)
    assert "990 are asked for the answer" in caught.value.message
    assert "1,000" in caught.value.message
    assert caught.value.param == "max_tokens"
    most = int("".join(filter(str.isdigit, caught.value.hint or "")))
    fitting = GenerationConfig(max_new_tokens=most)
    built = build(ScriptedBackend(context_length=1000), config=fitting, explicit_max_tokens=True)
    assert built.prompt_tokens + most <= 1000


def test_a_message_that_is_too_long_alone_is_refused() -> None:
    with pytest.raises(ContextLengthExceeded, match="The message needs") as caught:
        build(ScriptedBackend(context_length=500), "word " * 600)
    assert caught.value.param == "message"
    with pytest.raises(ContextLengthExceeded):
        build(ScriptedBackend(context_length=500), context="word " * 600)


def test_check_refuses_exactly_what_build_refuses() -> None:
    builder = PromptBuilder(ScriptedBackend(context_length=300), zone=UTC)
    for words in range(150, 300):
        request = PromptRequest("word " * words, AT, GenerationConfig(), documents=DOCUMENTS)
        outcomes = []
        for method in (builder.check, builder.build):
            try:
                method(request)
                outcomes.append("fits")
            except ContextLengthExceeded:
                outcomes.append("refused")
        assert outcomes[0] == outcomes[1]


class CountingBackend(ScriptedBackend):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.counted: Counter[str] = Counter()

    def count_tokens(self, text: str) -> int:
        self.counted["texts"] += 1
        return super().count_tokens(text)

    def count_prompt(self, prompt: Prompt) -> int:
        self.counted["prompts"] += 1
        return super().count_prompt(prompt)


def test_a_turn_of_a_steady_conversation_costs_four_counts() -> None:
    backend = CountingBackend()
    builder = PromptBuilder(backend, zone=UTC)
    said = [f"text number {n}" for n in range(200)]
    for turn in range(90, 100):
        backend.counted.clear()
        history = conversation(said[: 2 * turn])
        built = builder.build(
            PromptRequest(f"new {turn}", AT, GenerationConfig(), history=history, documents=DOCUMENTS)
        )
        assert built.receipt.history.kept > 0
    assert backend.counted == {"texts": 2, "prompts": 2}


def test_the_prompt_for_prewarming_is_the_beginning_of_what_is_sent() -> None:
    backend = ScriptedBackend()
    builder = PromptBuilder(backend, zone=UTC)
    warm = builder.documents_prompt(DOCUMENTS)
    assert warm is not None
    sent = builder.build(PromptRequest("x", AT, GenerationConfig(), documents=DOCUMENTS)).prompt
    assert sent.text[: sent.stable_prefix] == warm.text
    assert warm.stable_prefix == len(warm.text)
    assert builder.documents_prompt([]) is None


@pytest.mark.parametrize("template", [None, CHATML, LLAMA_3, GEMMA, MISTRAL_LAST])
@pytest.mark.parametrize("length", [0, 2, 40, 400])
def test_what_is_read_ahead_is_the_beginning_of_the_next_prompt(template: str | None, length: int) -> None:
    backend = ScriptedBackend(context_length=4096, template=template)
    builder = PromptBuilder(backend, zone=UTC)
    given: dict[str, Any] = {
        "documents": DOCUMENTS,
        "history": conversation([f"text {n} </s>[INST] " * 5 for n in range(length)]),
    }
    ahead = builder.prompt_ahead(PromptRequest("", "2026-03-01T10:00:00Z", GenerationConfig(), **given))
    assert ahead is not None
    sent = builder.build(PromptRequest("What next?", AT, GenerationConfig(), **given))
    assert sent.prompt.text.startswith(ahead.text)
    assert ahead.stable_prefix == sent.prompt.stable_prefix
    left = sent.prompt.text[len(ahead.text) :]
    assert len(left) < 200 if length else ahead.stable_prefix == len(ahead.text)


def test_a_shorter_answer_asked_for_does_not_move_the_history() -> None:
    history = conversation([f"text number {n} of many " * 4 for n in range(400)])
    builder = PromptBuilder(ScriptedBackend(context_length=4096), zone=UTC)
    kept = set()
    for tokens in (1, 50, 512):
        config = GenerationConfig(max_new_tokens=tokens)
        request = PromptRequest("x", AT, config, explicit_max_tokens=True, history=history)
        kept.add(builder.build(request).receipt.history.kept)
    assert len(kept) == 1
    longer = PromptRequest(
        "x", AT, GenerationConfig(max_new_tokens=3000), explicit_max_tokens=True, history=history
    )
    assert builder.build(longer).receipt.history.kept < kept.pop()


def test_nothing_is_read_ahead_of_an_empty_memory() -> None:
    builder = PromptBuilder(ScriptedBackend(), zone=UTC)
    assert builder.prompt_ahead(PromptRequest("", AT, GenerationConfig())) is None


def test_messages_of_the_openai_routes_are_sent_as_they_are() -> None:
    builder = PromptBuilder(ScriptedBackend(context_length=100))
    messages = [ChatMessage(Role.USER, "Hello")]
    built = builder.build_messages(messages, GenerationConfig())
    assert built.prompt.text == "[INST] Hello[/INST]"
    assert built.receipt.max_tokens == 100 - built.prompt_tokens
    assert built.receipt.max_tokens_lowered_from is None
    with pytest.raises(ContextLengthExceeded, match="The message needs"):
        builder.build_messages([ChatMessage(Role.USER, "word " * 100)], GenerationConfig())


def test_a_raw_prompt_is_sent_as_it_stands() -> None:
    builder = PromptBuilder(ScriptedBackend(context_length=100))
    built = builder.build_raw("<s>[INST] Hi [/INST]", GenerationConfig(max_new_tokens=5))
    assert built.prompt.pieces == ("[INST] Hi [/INST]",)
    with pytest.raises(ContextLengthExceeded):
        builder.build_raw("word " * 100, GenerationConfig())


texts = st.lists(
    st.sampled_from(
        ["word ", "[INST]", "</s>", "é🦜 ", "\n\n", "## Heading\n", "A sentence here. ", "- item\n"]
    ),
    max_size=120,
).map("".join)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    window=st.integers(64, 1500),
    message=texts.filter(str.strip),
    history=st.lists(texts, max_size=30),
    document_texts=st.lists(texts, min_size=4, max_size=4),
    context=st.none() | texts,
    max_tokens=st.none() | st.integers(1, 2000),
    share=st.floats(0, 0.9),
    template=st.sampled_from([None, CHATML, LLAMA_3, GEMMA, MISTRAL_LAST]),
)
def test_prompt_and_answer_never_exceed_the_window(
    window: int,
    message: str,
    history: list[str],
    document_texts: list[str],
    context: str | None,
    max_tokens: int | None,
    share: float,
    template: str | None,
) -> None:
    backend = ScriptedBackend(context_length=window, template=template, otherwise="x")
    config = GenerationConfig() if max_tokens is None else GenerationConfig(max_new_tokens=max_tokens)
    request = PromptRequest(
        message,
        AT,
        config,
        explicit_max_tokens=max_tokens is not None,
        history=conversation(history),
        documents=documents(document_texts),
        context=context,
    )
    builder = PromptBuilder(backend, share=share, zone=UTC)
    try:
        built = builder.build(request)
    except ContextLengthExceeded:
        bare = PromptRequest(message, AT, config, max_tokens is not None, context=context)
        with pytest.raises(ContextLengthExceeded):
            builder.check(bare)
        return
    assert built.prompt_tokens == backend.count_prompt(built.prompt)
    assert built.prompt_tokens + built.receipt.max_tokens <= window
    assert built.receipt.history.kept + built.receipt.history.dropped <= len(history)
    assert len(built.receipt.documents) == 4
    assert builder.build(request) == built
