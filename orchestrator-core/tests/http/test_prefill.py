"""`/v1/chat/completions` whose last message is the assistant's: the answer goes on after it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.desktop import Desk, desk, events
from support.scripted import ScriptedBackend

ASKED = [{"role": "user", "content": "Count."}]
ANSWER = "One two \n three."
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend(otherwise=ANSWER, context_length=100)


@pytest.fixture
def there(tmp_path: Path, backend: ScriptedBackend) -> Iterator[Desk]:
    with desk(tmp_path, backend) as found:
        yield found


def ask(there: Desk, begun: Any, **fields: Any) -> Any:
    last = begun if isinstance(begun, dict) else {"role": "assistant", "content": begun}
    return there.client.post("/v1/chat/completions", json={"messages": [*ASKED, last], **fields})


def content(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.get_json()["choices"][0]["message"]["content"])


def said_to(backend: ScriptedBackend) -> list[str]:
    return [message.content for message in backend.calls[-1].prompt.messages]


@pytest.mark.parametrize("begun", ["One", "One two", "One two ", "One two \n", "Something else. "])
def test_only_what_follows_is_returned(there: Desk, backend: ScriptedBackend, begun: str) -> None:
    assert content(ask(there, begun)) == ANSWER.removeprefix(begun)
    assert backend.calls[-1].continue_from == begun
    assert said_to(backend) == ["Count."]


def test_it_is_streamed_too(there: Desk) -> None:
    chunks = [event["data"] for event in events(ask(there, "One two", stream=True).text)]
    assert chunks.pop() == "[DONE]"
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == " \n three."


def test_content_in_parts_is_one_beginning(there: Desk) -> None:
    parts = [{"type": "text", "text": "One"}, {"type": "text", "text": " two"}]
    assert content(ask(there, {"role": "assistant", "content": parts})) == " \n three."


def test_an_empty_beginning_is_none(there: Desk, backend: ScriptedBackend) -> None:
    assert content(ask(there, "")) == ANSWER
    assert backend.calls[-1].continue_from == ""
    assert said_to(backend) == ["Count."]


def test_a_stop_sequence_across_the_beginning_still_ends_the_answer(there: Desk) -> None:
    answer = ask(there, "One tw", stop=["two"])
    assert content(answer) == ""
    assert answer.get_json()["choices"][0]["finish_reason"] == "stop"


def test_a_message_that_calls_tools_is_not_continued(there: Desk, backend: ScriptedBackend) -> None:
    call = {"id": "abcdefghi", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    content(ask(there, {"role": "assistant", "content": "I add.", "tool_calls": [call]}))
    assert backend.calls[-1].continue_from == ""
    assert len(said_to(backend)) == 2


def test_a_forced_call_does_not_continue_a_text(there: Desk, backend: ScriptedBackend) -> None:
    backend.enqueue('{"name": "add", "arguments": {}}')
    answer = ask(there, "One", tools=[TOOL], tool_choice="required").get_json()
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "add"
    assert backend.calls[-1].continue_from == ""
    assert said_to(backend)[-1] == "One"


def test_with_tools_to_choose_from_the_text_is_continued(there: Desk, backend: ScriptedBackend) -> None:
    assert content(ask(there, "One", tools=[TOOL])) == " two \n three."
    assert backend.calls[-1].continue_from == "One"


def test_a_schema_is_checked_on_beginning_and_rest_together(there: Desk, backend: ScriptedBackend) -> None:
    # A range that a grammar does not enforce, so that the text is checked afterwards.
    schema = {"type": "object", "properties": {"n": {"type": "number", "minimum": 1.5}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "count", "schema": schema}}
    backend.enqueue('{"n": 7}')
    answer = ask(there, '{"n":', response_format=wanted)
    assert json.loads('{"n":' + content(answer)) == {"n": 7}
    assert backend.calls[-1].continue_from == '{"n":'


def test_the_beginning_takes_its_room_in_the_window(there: Desk) -> None:
    assert ask(there, "word " * 60, max_tokens=20).status_code == 200
    answer = ask(there, "word " * 100, max_tokens=20)
    assert answer.status_code == 400
    assert answer.get_json()["error"]["code"] == "context_length_exceeded"


def test_an_assistant_message_alone_is_a_message(there: Desk, backend: ScriptedBackend) -> None:
    answer = there.client.post(
        "/v1/chat/completions", json={"messages": [{"role": "assistant", "content": "Hello."}]}
    )
    assert content(answer) == ANSWER
    assert backend.calls[-1].continue_from == ""
