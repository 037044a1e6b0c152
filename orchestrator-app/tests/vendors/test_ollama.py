"""Ollama's own client."""

import json

import ollama
import pytest
import requests
from support.openai_calls import KEY

HELLO = [{"role": "user", "content": "Hi"}]
HEADERS = {"Authorization": f"Bearer {KEY}"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather somewhere",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = '{"name": "weather", "arguments": {"city": "Wien"}}'


@pytest.fixture
def client_of():
    """Makes clients, and closes them."""
    clients = []

    def make(server):
        clients.append(ollama.Client(host=server.url, headers=HEADERS))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_chat(serve, client_of):
    backend, server = serve("Hello there.")
    options = {"temperature": 0.5, "num_predict": 9, "repeat_penalty": 1.2, "seed": -1, "num_ctx": 4096}
    answer = client_of(server).chat(model="scripted:latest", messages=HELLO, options=options)
    assert (answer.message.content, answer.done, answer.done_reason) == ("Hello there.", True, "stop")
    assert answer.eval_count > 0
    assert answer.prompt_eval_count > 0
    used = backend.calls[-1].config
    assert (used.temperature, used.max_new_tokens, used.repetition_penalty, used.seed) == (0.5, 9, 1.2, None)


def test_chat_streams_lines(serve, client_of):
    _, server = serve("Hello there, you.")
    parts = list(client_of(server).chat(model="m", messages=HELLO, stream=True))
    assert "".join(part.message.content for part in parts) == "Hello there, you."
    assert [part.done for part in parts][-1] is True
    assert len(parts) > 2


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_go_back(serve, client_of, stream):
    backend, server = serve(CALL, "It rains.")
    client = client_of(server)
    answer = client.chat(model="m", messages=HELLO, tools=[WEATHER], stream=stream)
    message = next(part.message for part in answer if part.message.tool_calls) if stream else answer.message
    (call,) = message.tool_calls
    assert (call.function.name, call.function.arguments) == ("weather", {"city": "Wien"})
    result = {"role": "tool", "tool_name": "weather", "content": "wet"}
    again = client.chat(model="m", messages=[*HELLO, message, result], tools=[WEATHER])
    assert again.message.content == "It rains."
    assert "wet" in backend.calls[-1].prompt.text


def test_a_format_is_held_to(serve, client_of):
    backend, server = serve("nonsense", '{"city": "Wien"}', "{}")
    schema = WEATHER["function"]["parameters"]
    answer = client_of(server).chat(model="m", messages=HELLO, format=schema)
    assert json.loads(answer.message.content) == {"city": "Wien"}
    client_of(server).chat(model="m", messages=HELLO, format="json")
    assert backend.calls[-1].config.json_schema == {"type": "object"}


def test_generate(serve, client_of):
    backend, server = serve("Hello.", "raw.", "streamed text")
    client = client_of(server)
    assert client.generate(model="m", prompt="Hi", system="Be brief.").response == "Hello."
    assert "Be brief." in backend.calls[-1].prompt.text
    client.generate(model="m", prompt="[INST] Hi", raw=True)
    assert backend.calls[-1].prompt.text == "[INST] Hi"
    parts = list(client.generate(model="m", prompt="Hi", stream=True))
    assert "".join(part.response for part in parts) == "streamed text"


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"suffix": "}"}, "suffix"),
        ({"suffix": "}", "prompt": ""}, "suffix"),
        ({"images": [b"\x89PNG"]}, "images"),
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"context": [1, 2]}, "context"),
        ({"system": "Be brief.", "raw": True}, "system"),
        ({"format": "json", "raw": True}, "format"),
        ({"model": "orchestrator", "raw": True}, "messages, not raw prompts"),
        ({"model": "orchestrator:latest", "raw": True}, "messages, not raw prompts"),
    ],
)
def test_what_would_be_left_out_is_refused_by_name(serve, client_of, said, named):
    backend, server = serve("Hello.")
    with pytest.raises(ollama.ResponseError, match=named) as refused:
        client_of(server).generate(**{"model": "m", "prompt": "Hi", **said})
    assert refused.value.status_code == 400
    assert not backend.calls


def test_models_are_listed_and_shown(serve, client_of):
    _, server = serve()
    client = client_of(server)
    assert [model.model for model in client.list().models] == ["scripted", "orchestrator"]
    assert client.show("scripted").modelinfo["llama.context_length"] == 8192
    assert client.ps().models[0].model == "scripted"
    # As in chat, any other name is the bare model's.
    assert client.show("another").modelinfo["general.basename"] == "scripted"
    assert requests.get(server.url + "/api/version", headers=HEADERS, timeout=10).json()["version"]


def test_errors_are_a_text(serve, client_of):
    _, server = serve()
    answer = requests.post(server.url + "/api/chat", json={"model": 5}, headers=HEADERS, timeout=10)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)
    unknown = requests.post(server.url + "/api/pull", json={}, headers=HEADERS, timeout=10)
    assert (unknown.status_code, type(unknown.json()["error"])) == (404, str)
    with pytest.raises(ollama.ResponseError, match="images"):
        client_of(server).chat(
            model="m", messages=[{"role": "user", "content": "See", "images": [b"\x89PNG"]}]
        )


def test_embeddings(serve, client_of):
    _, server = serve()
    with pytest.raises(ollama.ResponseError, match="no embeddings"):
        client_of(server).embed(model="m", input=["a", "b"])


def test_a_request_without_messages_loads_the_model(serve, client_of):
    backend, server = serve()
    assert client_of(server).chat(model="m", messages=[]).done_reason == "load"
    assert not backend.calls


def test_the_assistant_remembers(serve, client_of):
    _, server = serve("One.", "Two.")
    client = client_of(server)
    first = client.chat(model="orchestrator", messages=HELLO)
    client.chat(
        model="orchestrator:latest", messages=[*HELLO, first.message, {"role": "user", "content": "And?"}]
    )
    conversations = server.services.assistant.conversations
    (conversation,) = [each for each in conversations.list() if each.turn_count]
    assert conversation.turn_count == 2


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_json_is_taken_as_curl_and_other_clients_send_it(serve, kind):
    _, server = serve("Hello.")
    body = json.dumps({"model": "m", "stream": False, "messages": HELLO}).encode()
    headers = {**HEADERS, **({"Content-Type": kind} if kind else {})}
    answer = requests.post(server.url + "/api/chat", data=body, headers=headers, timeout=10)
    assert answer.json()["message"]["content"] == "Hello."
    page = {**headers, "Origin": "https://elsewhere.example"}
    assert requests.post(server.url + "/api/chat", data=body, headers=page, timeout=10).status_code == 403
