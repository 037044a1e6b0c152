from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from orchestrator_core.assistant import Assistant, open_assistant
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.runs.spec import RunState
from orchestrator_core.settings import Settings
from support.scripted import ScriptedBackend

WAIT = 20.0
QUESTION = "Where did I hide the walnut box?"
Open = Callable[..., Assistant]


@pytest.fixture
def new_assistant(tmp_path: Path) -> Iterator[Open]:
    opened: list[Assistant] = []

    def open_one(window: int = 8192, **given: Any) -> Assistant:
        backend = ScriptedBackend(otherwise="All right.", context_length=window)
        settings = Settings.model_validate({"data": tmp_path / "data", **given})
        opened.append(open_assistant(settings, backend=backend))
        return opened[-1]

    yield open_one
    for assistant in opened:
        assistant.close()


def tell(assistant: Assistant, text: str, conversation_id: str = "elsewhere") -> None:
    assistant.conversations.create(conversation_id)
    assistant.conversations.add_message(conversation_id, "user", text)


def retrieved(assistant: Assistant, message: str = QUESTION) -> list[str]:
    built = assistant.preview("default", message)
    return [use.source for use in built.receipt.retrieved]


def test_what_was_said_in_another_conversation_is_recalled(new_assistant: Open) -> None:
    assistant = new_assistant()
    tell(assistant, "I hid the walnut box behind the chimney.")
    run = assistant.ask(ChatRequest(message=QUESTION))
    assert run.wait(WAIT).state is RunState.DONE
    assert "behind the chimney" in run.spec.prompt.messages[-1].content
    answer = assistant.conversations.messages("default")[-1]
    assert answer.receipt is not None
    (use,) = answer.receipt["retrieved"]
    assert use["source"] == "message"
    assert 0 < use["tokens"] < answer.receipt["prompt_tokens"]


def test_the_preview_is_what_is_sent_also_with_recalled_passages(new_assistant: Open) -> None:
    assistant = new_assistant()
    tell(assistant, "I hid the walnut box behind the chimney.")
    while True:  # until both fall into the same minute
        preview = assistant.preview("default", QUESTION)
        run = assistant.ask(ChatRequest(message=QUESTION))
        run.wait(WAIT)
        sent = run.spec.prompt.messages[-1].content
        shown = preview.prompt.messages[-1].content
        assistant.conversations.clear("default")
        if sent.splitlines()[0] == shown.splitlines()[0]:
            break
    assert preview.receipt.retrieved
    assert run.spec.prompt == preview.prompt
    assert run.spec.receipt == preview.receipt.model_dump(mode="json")


def test_the_next_turn_shows_the_question_as_it_was_sent(new_assistant: Open) -> None:
    """With what was recalled for it: so all of the first prompt and its answer are cached."""
    assistant = new_assistant()
    tell(assistant, "I hid the walnut box behind the chimney.")
    first = assistant.ask(ChatRequest(message=QUESTION))
    first.wait(WAIT)
    second = assistant.ask(ChatRequest(message="What about the walnut box?"))
    second.wait(WAIT)
    before = first.spec.prompt.text
    assert "chimney" in before
    assert second.spec.prompt.text.startswith(f"{before} All right.</s>")
    assert second.spec.receipt["retrieved"] == [], "it is shown already"


def test_what_a_deleted_message_said_leaves_the_turns_that_recalled_it(new_assistant: Open) -> None:
    assistant = new_assistant()
    tell(assistant, "I hid the walnut box behind the chimney.")
    assistant.ask(ChatRequest(message=QUESTION)).wait(WAIT)
    assert "chimney" in assistant.preview("default", "And now?").prompt.text
    assistant.conversations.delete("elsewhere")
    assert "chimney" not in assistant.preview("default", "And now?").prompt.text
    receipt = assistant.conversations.messages("default")[-1].receipt
    assert receipt is not None and [use["text"] for use in receipt["retrieved"]] == [""]


def test_a_follow_up_is_understood_from_what_was_just_said(new_assistant: Open) -> None:
    assistant = new_assistant()
    tell(assistant, "The walnut box holds the letters of my grandmother.")
    tell(assistant, "The garden shed needs a new roof and a lock.")
    assistant.conversations.add_message("default", "user", "Do you remember the walnut box?")
    built = assistant.preview("default", "What does it hold?")
    assert any("grandmother" in message.content for message in built.prompt.messages[-1:])


def test_log_entries_that_had_no_room_are_recalled(new_assistant: Open) -> None:
    assistant = new_assistant(context={"share": 0.01})
    assert assistant.context is not None
    assistant.context.append_entry("Hid the walnut box behind the chimney.")
    for number in range(40):
        assistant.context.append_entry(f"Painted wall {number} of the long corridor in white, twice.")
    assert retrieved(assistant)[0] == "log"


def test_what_the_shown_documents_and_history_say_is_not_recalled(new_assistant: Open) -> None:
    assistant = new_assistant()
    assert assistant.context is not None
    assistant.context.append_entry("Hid the walnut box behind the chimney.")
    tell(assistant, "I put the walnut box on the shelf.", "default")
    assert retrieved(assistant) == []


def test_nothing_is_recalled_when_turned_off(new_assistant: Open) -> None:
    assistant = new_assistant(context={"retrieval_share": 0.0})
    tell(assistant, "I hid the walnut box behind the chimney.")
    assert retrieved(assistant) == []


def test_nothing_is_recalled_for_a_question_about_something_else(new_assistant: Open) -> None:
    assistant = new_assistant()
    tell(assistant, "I hid the walnut box behind the chimney.")
    assert retrieved(assistant, "Explain how a gas turbine works.") == []


def test_an_index_that_fails_does_not_stand_in_the_way(new_assistant: Open) -> None:
    assistant = new_assistant()
    tell(assistant, "I hid the walnut box behind the chimney.")
    assert assistant.memory is not None
    assistant.memory.close()
    assert assistant.ask(ChatRequest(message=QUESTION)).wait(WAIT).state is RunState.DONE
