from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.backend import Prompt
from orchestrator_core.chat_request import ChatRequest, GenerateRequest
from orchestrator_core.errors import (
    BackendError,
    ContextLengthExceeded,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PayloadTooLarge,
    Unsupported,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.runs.spec import RunState
from orchestrator_core.settings import Settings
from shared_context.errors import ConversationNotFound, DocumentNotFound
from support.scripted import Gate, Reply, ScriptedBackend

WAIT = 20.0
Open = Callable[..., Assistant]


@pytest.fixture
def new_assistant(tmp_path: Path) -> Iterator[Open]:
    opened: list[Assistant] = []

    def open_one(backend: ScriptedBackend, **given: Any) -> Assistant:
        settings = Settings.model_validate({"data": tmp_path / "data", **given})
        opened.append(open_assistant(settings, backend=backend))
        return opened[-1]

    yield open_one
    for assistant in opened:
        assistant.close()


def said(assistant: Assistant, conversation_id: str = "default") -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in assistant.conversations.messages(conversation_id)]


def test_a_question_is_answered_stored_and_comes_with_its_receipt(new_assistant: Open) -> None:
    assistant = new_assistant(ScriptedBackend([Reply(text="Blue.", cached_tokens=7)]))
    run = assistant.ask(ChatRequest(message="Which colour?"))
    result = run.wait(WAIT)
    assert (result.state, result.text) == (RunState.DONE, "Blue.")
    question, answer = assistant.conversations.messages("default")
    assert (question.role, question.content, question.tier) == ("user", "Which colour?", "desktop")
    assert (answer.role, answer.content, answer.message_id) == ("assistant", "Blue.", run.spec.message_id)
    assert (answer.reply_to, answer.run_id, answer.model) == (question.message_id, run.run_id, "scripted")
    assert answer.receipt is not None
    assert answer.receipt["cached_tokens"] == 7
    assert answer.receipt["prompt_tokens"] == result.usage.prompt_tokens
    done = list(run.events())[-1]
    assert done is not None
    assert done.data["receipt"] == answer.receipt
    assert done.data["message_id"] == answer.message_id


def test_the_question_is_committed_before_a_token_is_made(new_assistant: Open) -> None:
    gate = Gate()
    assistant = new_assistant(ScriptedBackend([Reply(text="Late.", gate=gate)]))
    run = assistant.ask(ChatRequest(message="Early?"))
    assert gate.wait_blocked()
    assert said(assistant) == [("user", "Early?")]
    gate.open()
    run.wait(WAIT)
    assert said(assistant) == [("user", "Early?"), ("assistant", "Late.")]


def test_history_and_documents_reach_the_model(new_assistant: Open) -> None:
    backend = ScriptedBackend(otherwise="Yes.")
    assistant = new_assistant(backend)
    assert assistant.context is not None
    assistant.context.edit("PROJECT_CONTEXT.md", "# Project\n\nThe house is blue.\n")
    assistant.ask(ChatRequest(message="One?")).wait(WAIT)
    assistant.ask(ChatRequest(message="Two?", context="Be quick.")).wait(WAIT)
    first, second = (call.prompt.text for call in backend.calls)
    assert "The house is blue." in first
    assert second.startswith(first)
    assert second.index("Yes.") < second.index("Be quick.") < second.index("Two?")


def test_the_preview_is_the_prompt_that_is_sent(new_assistant: Open) -> None:
    backend = ScriptedBackend(otherwise="Yes.")
    assistant = new_assistant(backend)
    assistant.ask(ChatRequest(message="One?")).wait(WAIT)
    for _ in range(3):  # the minute may turn between the two
        preview = assistant.preview("default", "Two?")
        before = assistant.preview("default", "Two?")
        run = assistant.ask(ChatRequest(message="Two?"))
        run.wait(WAIT)
        if _time_lines(run.spec.prompt) == _time_lines(preview.prompt):
            break
    assert preview == before
    assert run.spec.prompt == preview.prompt
    assert run.spec.config == preview.config
    assert run.spec.receipt == preview.receipt.model_dump(mode="json")


def _time_lines(prompt: Prompt) -> list[str]:
    return [line for line in prompt.text.splitlines() if " UTC" in line]


def test_a_preview_stores_nothing_and_needs_no_message(new_assistant: Open) -> None:
    assistant = new_assistant(ScriptedBackend())
    assert assistant.preview().prompt_tokens > 0
    assert said(assistant) == []


@pytest.mark.parametrize(
    ("request_fields", "error"),
    [
        ({"message": "word " * 3000}, ContextLengthExceeded),
        ({"message": "Hi", "context": "word " * 3000}, ContextLengthExceeded),
        ({"message": "Hi", "max_tokens": 5000}, ContextLengthExceeded),
        ({"message": "x" * 50_001}, PayloadTooLarge),
        ({"message": "Hi", "tier": "vps"}, InvalidRequest),
        ({"message": "Hi", "project": "garden"}, DocumentNotFound),
        ({"message": "Hi", "conversation_id": "unknown"}, ConversationNotFound),
    ],
)
def test_what_is_refused_is_not_stored(
    new_assistant: Open, request_fields: dict[str, Any], error: type[Exception]
) -> None:
    backend = ScriptedBackend(context_length=2000)
    assistant = new_assistant(backend, server={"max_message_chars": 50_000})
    with pytest.raises(error):
        assistant.ask(ChatRequest(**request_fields))
    assert said(assistant) == []
    assert not backend.calls


def test_a_full_server_refuses_before_it_stores(new_assistant: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    assistant = new_assistant(ScriptedBackend())

    def full() -> None:
        raise Overloaded("full")

    monkeypatch.setattr(assistant.runs, "ensure_room", full)
    for ask in (
        lambda: assistant.ask(ChatRequest(message="Hi")),
        lambda: assistant.complete([ChatMessage(Role.USER, "Hi")], GenerationConfig()),
        lambda: assistant.generate_raw(GenerateRequest(prompt="Hi")),
    ):
        with pytest.raises(Overloaded):
            ask()
    assert said(assistant) == []


def test_a_model_that_cannot_be_loaded_loses_no_message(new_assistant: Open) -> None:
    backend = ScriptedBackend(otherwise="Back.", load_errors=[ModelNotFound("gone")] * 20)
    assistant = new_assistant(backend)
    with pytest.raises(BackendError):
        assistant.ask(ChatRequest(message="Anybody?"))
    assert said(assistant) == [("user", "Anybody?")]


def test_questions_asked_at_once_each_get_their_answer(new_assistant: Open) -> None:
    gate = Gate()
    replies = [Reply(when=f"number {n}?", text=f"Answer {n}.", gate=gate) for n in range(6)]
    backend = ScriptedBackend(replies)
    assistant = new_assistant(backend)
    runs: list[Any] = []
    threads = [
        threading.Thread(target=lambda n=n: runs.append(assistant.ask(ChatRequest(message=f"number {n}?"))))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert gate.wait_blocked(6)
    gate.open()
    for run in runs:
        run.wait(WAIT)
    messages = assistant.conversations.messages("default")
    asked = {m.message_id: m.content for m in messages if m.role == "user"}
    answered = {asked[m.reply_to or ""]: m.content for m in messages if m.role == "assistant"}
    assert answered == {f"number {n}?": f"Answer {n}." for n in range(6)}
    # Each prompt shows what was committed before its question, and nothing that came after.
    order = [m.content for m in messages if m.role == "user"]
    for call in backend.calls:
        seen = [text for text in order if text in call.prompt.text]
        assert seen == order[: len(seen)]
    again = assistant.preview("default", "and now?").prompt.text
    assert all(again.index(f"Answer {n}.") > again.index(f"number {n}?") for n in range(6))


def test_a_stopped_answer_keeps_what_was_said(new_assistant: Open) -> None:
    gate = Gate()
    gate.allow(2)
    assistant = new_assistant(ScriptedBackend([Reply(text="One two three four.", gate=gate)]))
    run = assistant.ask(ChatRequest(message="Count"))
    assert len(list(islice(run.events(), 2))) == 2
    run.cancel()
    assert run.wait(WAIT).state is RunState.CANCELLED
    assert said(assistant) == [("user", "Count"), ("assistant", "One two")]


@pytest.mark.parametrize("how", ["clear", "delete"])
def test_an_answer_to_a_deleted_question_is_not_stored(new_assistant: Open, how: str) -> None:
    gate = Gate()
    assistant = new_assistant(ScriptedBackend([Reply(text="Too late.", gate=gate)]))
    conversation = assistant.conversations.create("talk")
    run = assistant.ask(ChatRequest(message="Hm?", conversation_id=conversation.conversation_id))
    assert gate.wait_blocked()
    getattr(assistant.conversations, how)("talk")
    gate.open()
    assert run.wait(WAIT).state is RunState.DONE
    done = list(run.events())[-1]
    assert done is not None
    assert done.data["message_id"] is None
    if how == "clear":
        assert said(assistant, "talk") == []
    else:
        with pytest.raises(ConversationNotFound):
            assistant.conversations.get("talk")


def test_completions_and_raw_prompts_are_not_stored(new_assistant: Open) -> None:
    backend = ScriptedBackend(otherwise="Done.", embedding_size=4)
    assistant = new_assistant(backend)
    run = assistant.complete([ChatMessage(Role.USER, "Hi")], GenerationConfig(max_new_tokens=7))
    assert run.wait(WAIT).text == "Done."
    assert backend.calls[-1].prompt.text == "[INST] Hi[/INST]"
    assert backend.calls[-1].config.max_new_tokens == 7
    raw = assistant.generate_raw(GenerateRequest(prompt="[INST] Raw [/INST]", max_tokens=5))
    assert raw.wait(WAIT).text == "Done."
    assert backend.calls[-1].prompt.text == "[INST] Raw [/INST]"
    assert said(assistant) == []
    assert len(assistant.embed(["a", "b"])) == 2
    with pytest.raises(InvalidRequest):
        assistant.complete([], GenerationConfig())
    with pytest.raises(PayloadTooLarge):
        assistant.generate_raw(GenerateRequest(prompt="x" * 300_000))


def test_embeddings_of_a_backend_without_them_are_unsupported(new_assistant: Open) -> None:
    with pytest.raises(Unsupported):
        new_assistant(ScriptedBackend()).embed(["a"])


def test_a_document_is_loaded_within_its_tokens(new_assistant: Open) -> None:
    assistant = new_assistant(ScriptedBackend(context_length=400))
    assert assistant.context is not None
    text = "# Briefing\n\n## Now\n\nPainting.\n\n## Next\n\n" + "- a thing to do\n" * 200
    assistant.context.edit("SESSION_BRIEFING.md", text)
    loaded = assistant.load_context("SESSION_BRIEFING.md")
    assert 50 < loaded.tokens <= 100
    assert assistant.count_tokens(loaded.text) == loaded.tokens
    assert loaded.tokens_left_out > 500
    assert loaded.left_out == ("Next",)
    assert loaded.text.startswith("# Briefing\n\n## Now\n\nPainting.")
    assert assistant.load_context("SESSION_BRIEFING.md", 10_000).left_out == ()
    with pytest.raises(DocumentNotFound):
        assistant.load_context("../secrets.md")


def test_an_interrupted_answer_goes_on_after_a_restart(new_assistant: Open) -> None:
    gate = Gate()
    gate.allow(3)
    first = new_assistant(ScriptedBackend([Reply(text="One two three four five.", gate=gate)]))
    run = first.ask(ChatRequest(message="Count"))
    assert gate.wait_blocked()
    first.runs.close(timeout=0)
    first.close()
    second = new_assistant(ScriptedBackend(otherwise="One two three four five."))
    again = second.runs.get(run.run_id)
    assert again.wait(WAIT).text == "One two three four five."
    assert said(second) == [("user", "Count"), ("assistant", "One two three four five.")]
