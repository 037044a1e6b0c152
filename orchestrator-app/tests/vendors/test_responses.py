"""`/v1/responses` with OpenAI's own client."""

import json

import openai
import pytest
from pydantic import BaseModel
from support.openai_calls import KEY

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather somewhere",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
CALL = '{"name": "weather", "arguments": {"city": "Wien"}}'


class Place(BaseModel):
    city: str


@pytest.fixture
def ask(serve):
    """Starts a server; its backend and a client."""
    clients = []

    def start(*replies):
        backend, server = serve(*replies)
        clients.append(openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0))
        return backend, clients[-1]

    yield start
    for client in clients:
        client.close()


def test_an_answer(ask):
    backend, client = ask("Hello there.")
    answer = client.responses.create(model="m", input="Hi", instructions="Be brief.", max_output_tokens=50)
    assert (answer.output_text, answer.status, answer.object) == ("Hello there.", "completed", "response")
    assert answer.usage.output_tokens > 0
    assert "Be brief." in backend.calls[-1].prompt.text
    assert client.responses.retrieve(answer.id).output_text == "Hello there."


def test_the_events_of_a_stream(ask):
    _, client = ask("Hello there, you.")
    with client.responses.stream(model="m", input="Hi") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events if event.type != "x"][:3] == [0, 1, 2]
    assert final.output_text == "Hello there, you."


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_go_back(ask, stream):
    backend, client = ask(CALL, "It rains.")
    if stream:
        with client.responses.stream(model="m", input="Hi", tools=[WEATHER]) as running:
            answer = running.get_final_response()
    else:
        answer = client.responses.create(model="m", input="Hi", tools=[WEATHER])
    (call,) = answer.output
    assert (call.type, call.name, json.loads(call.arguments)) == (
        "function_call",
        "weather",
        {"city": "Wien"},
    )
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "wet"}
    items = [{"role": "user", "content": "Hi"}, call.model_dump(exclude_none=True), result]
    assert client.responses.create(model="m", input=items, tools=[WEATHER]).output_text == "It rains."
    assert "wet" in backend.calls[-1].prompt.text


def test_a_response_is_continued(ask):
    backend, client = ask("Ada.", "Lovelace.", "Still there.")
    first = client.responses.create(model="m", input="First name?", instructions="Be brief.")
    second = client.responses.create(model="m", input="Last name?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    prompt = backend.calls[-1].prompt.text
    assert "First name?" in prompt
    assert "Ada." in prompt
    assert "Be brief." not in prompt
    with client.responses.stream(model="m", input="And?", previous_response_id=second.id) as stream:
        stream.until_done()
    assert "Lovelace." in backend.calls[-1].prompt.text


def test_an_unknown_or_unkept_response_is_told(ask):
    _, client = ask("Ada.")
    first = client.responses.create(model="m", input="Hi", store=False)
    for unknown in (first.id, "resp_nothing"):
        with pytest.raises(openai.NotFoundError) as caught:
            client.responses.create(model="m", input="And?", previous_response_id=unknown)
        assert caught.value.code == "previous_response_not_found"


def test_a_schema_is_held_to(ask):
    _, client = ask("nonsense", '{"city": "Wien"}')
    answer = client.responses.parse(model="m", input="Where?", text_format=Place)
    assert answer.output_parsed == Place(city="Wien")


def test_what_is_cut_off_is_incomplete(ask):
    _, client = ask("one two three four five")
    answer = client.responses.create(model="m", input="Hi", max_output_tokens=2)
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "web_search"}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
        {"input": [{"type": "item_reference", "id": "x"}]},
        {"background": True},
    ],
)
def test_what_cannot_be_had_is_refused_in_words(ask, fields):
    backend, client = ask()
    with pytest.raises(openai.BadRequestError):
        client.responses.create(**{"model": "m", "input": "Hi", **fields})
    assert not backend.calls


def test_the_assistant_remembers(ask):
    _, client = ask("One.", "Two.")
    first = client.responses.create(model="orchestrator", input="Hi")
    second = client.responses.create(model="orchestrator", input="And?", previous_response_id=first.id)
    assert second.output_text == "Two."
