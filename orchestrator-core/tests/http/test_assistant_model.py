"""The model `orchestrator`: clients that know nothing of conversations talk to the one memory."""

from __future__ import annotations

import pytest
from support.desktop import desk
from support.scripted import ScriptedBackend

CHAT = "/v1/chat/completions"


@pytest.fixture
def there(tmp_path):
    numbers = iter(range(1, 1000))
    with desk(tmp_path, ScriptedBackend(lambda prompt, config: f"Answer {next(numbers)}.")) as here:
        yield here


class Client:
    """Keeps its own history, as all of them do."""

    def __init__(self, here, **fields):
        self.here, self.fields, self.messages = here, fields, []

    def ask(self, text, **fields):
        self.messages.append({"role": "user", "content": text})
        body = {"model": "orchestrator", "messages": self.messages, **self.fields, **fields}
        answer = self.here.client.post(CHAT, json=body)
        assert answer.status_code == 200, answer.json
        said = answer.json["choices"][0]["message"]["content"]
        self.messages.append({"role": "assistant", "content": said})
        return said


def stored(here):
    """What each conversation holds, oldest conversation first."""
    conversations = here.services.assistant.conversations
    ids = [one.conversation_id for one in conversations.list()][::-1]
    said = [[message.content for message in conversations.messages(each)] for each in ids]
    return [messages for messages in said if messages]


def test_it_is_listed_beside_the_bare_model(there):
    names = [card["id"] for card in there.client.get("/v1/models").json["data"]]
    assert names[-1] == "orchestrator"
    assert len(names) == 2
    assert there.client.get("/v1/models/orchestrator").json["id"] == "orchestrator"


def test_a_bare_model_stores_nothing(there):
    there.client.post(CHAT, json={"model": "any", "messages": [{"role": "user", "content": "Hi"}]})
    assert stored(there) == []


def test_turns_of_one_client_are_one_conversation_and_stored_once(there):
    client = Client(there)
    for text in ("One?", "Two?", "Three?"):
        client.ask(text)
    assert stored(there) == [["One?", "Answer 1.", "Two?", "Answer 2.", "Three?", "Answer 3."]]
    last = there.backend.calls[-1].prompt.text
    assert last.count("One?") == 1
    assert last.count("Answer 2.") == 1


def test_clients_that_begin_alike_stay_apart(there):
    one, other = Client(there), Client(there)
    for client in (one, other):
        client.ask("Hi")
    one.ask("Still me")
    other.ask("Me too")
    assert stored(there) == [
        ["Hi", "Answer 1.", "Still me", "Answer 3."],
        ["Hi", "Answer 2.", "Me too", "Answer 4."],
    ]


def test_another_answer_takes_the_place_of_the_first(there):
    client = Client(there)
    client.ask("One?")
    client.ask("Two?")
    del client.messages[-2:]
    client.ask("Two?")
    assert stored(there) == [["One?", "Answer 1.", "Two?", "Answer 3."]]
    client.ask("Three?")
    assert stored(there) == [["One?", "Answer 1.", "Two?", "Answer 3.", "Three?", "Answer 4."]]


def test_an_edited_question_begins_a_branch_that_knows_what_came_before(there):
    client = Client(there)
    for text in ("One?", "Two?", "Three?"):
        client.ask(text)
    del client.messages[2:]
    client.ask("Two, but other?")
    client.ask("And on?")
    assert stored(there) == [
        ["One?", "Answer 1.", "Two?", "Answer 2.", "Three?", "Answer 3."],
        ["Two, but other?", "Answer 4.", "And on?", "Answer 5."],
    ]
    for call in list(there.backend.calls)[-2:]:
        assert "One?" in call.prompt.text
        assert "Answer 1." in call.prompt.text
        assert "Three?" not in call.prompt.text


def test_a_client_that_drops_old_turns_is_known_all_the_same(there):
    client = Client(there)
    for text in ("One?", "Two?", "Three?"):
        client.ask(text)
    del client.messages[:2]
    client.ask("Four?")
    assert len(stored(there)) == 1
    assert "One?" in there.backend.calls[-1].prompt.text


def test_white_space_that_clients_cut_does_not_matter(there):
    client = Client(there)
    client.ask("One?\n")
    client.messages = [{**one, "content": one["content"].strip()} for one in client.messages]
    client.ask("Two?")
    assert len(stored(there)) == 1


def test_a_conversation_can_be_named(there):
    for text in ("One?", "Two?"):
        body = {"model": "orchestrator", "messages": [{"role": "user", "content": text}]}
        there.client.post(CHAT, json={**body, "metadata": {"conversation_id": "mine"}})
    messages = there.services.assistant.conversations.messages("mine")
    assert [one.content for one in messages] == ["One?", "Answer 1.", "Two?", "Answer 2."]


def test_the_clients_system_text_is_context_and_is_not_stored(there):
    body = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]}
    there.client.post(CHAT, json={"model": "orchestrator", **body})
    assert "Be brief." in there.backend.calls[-1].prompt.text
    assert stored(there) == [["Hi", "Answer 1."]]


def test_it_streams(there):
    body = {"model": "orchestrator", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    text = there.client.post(CHAT, json=body).get_data(as_text=True)
    assert text.rstrip().endswith("[DONE]")
    assert stored(there) == [["Hi", "Answer 1."]]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"grammar": 'root ::= "a"'},
        {"n": 2},
        {"messages": [{"role": "assistant", "content": "I began"}]},
    ],
)
def test_what_the_assistant_does_not_take_is_refused_by_name_and_nothing_is_stored(there, fields):
    body = {"model": "orchestrator", "messages": [{"role": "user", "content": "Hi"}], **fields}
    answer = there.client.post(CHAT, json=body)
    assert answer.status_code == 400
    assert answer.json["error"]["param"] in fields
    assert stored(there) == []
