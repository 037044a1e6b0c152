"""What the published API takes is taken; what would change the answer and cannot be had is refused by name."""

from __future__ import annotations

import pytest
from support.desktop import desk
from support.scripted import ScriptedBackend

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HELLO = [{"role": "user", "content": "Hi"}]


def chat(here, **fields):
    return here.client.post(CHAT, json={"messages": HELLO, **fields})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": -1}, {}),
        ({"max_completion_tokens": -1}, {}),
        ({"max_tokens": 10**15}, {}),
        ({"seed": -1}, {"seed": None}),
        ({"seed": -5}, {"seed": 2**32 - 5}),
        ({"seed": 2**40 + 3}, {"seed": 3}),
        ({"stop": ""}, {"stop": []}),
        ({"stop": ["", "end"]}, {"stop": ["end"]}),
        ({"stop": []}, {"stop": []}),
        ({"top_p": 0}, {"top_p": 0.0}),
        ({"temperature": None, "top_p": None, "stop": None, "tools": None}, {}),
        (
            {"presence_penalty": 0.5, "frequency_penalty": -1},
            {"presence_penalty": 0.5, "frequency_penalty": -1.0},
        ),
        ({"logit_bias": {"5": -100, "7": 3.5}}, {"logit_bias": {5: -100.0, 7: 3.5}}),
        ({"grammar": 'root ::= "a"'}, {"grammar": 'root ::= "a"'}),
        ({"user": "me", "store": True, "service_tier": "auto", "metadata": {"a": "b"}}, {}),
        ({"functions": None, "logprobs": False, "top_logprobs": 0, "n": 1}, {}),
    ],
)
def test_what_clients_send_is_taken(here, fields, expected):
    for route, body in ((CHAT, {"messages": HELLO}), (TEXT, {"prompt": "Hi"})):
        answer = here.client.post(route, json={**body, **fields})
        assert answer.status_code == 200, answer.json
        used = here.backend.calls[-1].config
        assert {name: getattr(used, name) for name in expected} == expected


def test_the_likeliest_alone_is_greedy(here):
    chat(here, top_p=0)
    assert here.backend.calls[-1].config.is_greedy


@pytest.mark.parametrize(
    ("route", "field", "value"),
    [
        (CHAT, "logprobs", True),
        (CHAT, "top_logprobs", 3),
        (CHAT, "functions", [{"name": "f"}]),
        (CHAT, "function_call", "auto"),
        (CHAT, "audio", {"voice": "alloy"}),
        (CHAT, "web_search_options", {"a": 1}),
        (TEXT, "logprobs", 2),
        (TEXT, "suffix", "end"),
        (TEXT, "best_of", 3),
        (CHAT, "n", 1000),
        (CHAT, "logit_bias", {"word": 1}),
        (CHAT, "logit_bias", {"5": 101}),
        (CHAT, "presence_penalty", 3),
        (CHAT, "max_tokens", 0),
        (CHAT, "max_tokens", -7),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(here, route, field, value):
    body = {"messages": HELLO} if route == CHAT else {"prompt": "Hi"}
    answer = here.client.post(route, json={**body, field: value})
    assert answer.status_code == 400
    assert answer.json["error"]["param"] == field
    assert field in answer.json["error"]["message"]
    assert not here.backend.calls


@pytest.mark.parametrize(
    ("part", "noun"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}, "images"),
        ({"type": "input_image", "image_url": "x"}, "images"),
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}, "audio"),
        ({"type": "file", "file": {"file_id": "x"}}, "files"),
        ({"type": "hologram"}, "hologram"),
    ],
)
def test_what_the_model_cannot_see_is_named(here, part, noun):
    content = [{"type": "text", "text": "What is this?"}, part]
    answer = here.client.post(CHAT, json={"messages": [{"role": "user", "content": content}]})
    assert answer.status_code == 400
    assert answer.json["error"]["message"].startswith("This model takes no")
    assert noun in answer.json["error"]["message"]


def test_parts_of_text_are_joined_and_refusals_are_text(here):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    refusal = [{"type": "refusal", "refusal": "No."}]
    messages = [{"role": "user", "content": parts}, {"role": "assistant", "content": refusal}, *HELLO]
    assert here.client.post(CHAT, json={"messages": messages}).status_code == 200
    assert "ab" in here.backend.calls[-1].prompt.text
    assert "No." in here.backend.calls[-1].prompt.text


@pytest.mark.parametrize("arguments", ["[" * 5000, '{"a":' * 5000 + "1" + "}" * 5000])
def test_arguments_nested_without_measure_are_the_callers_mistake(here, arguments):
    call = {"id": "call12345", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [*HELLO, {"role": "assistant", "tool_calls": [call]}, *HELLO]
    answer = here.client.post(CHAT, json={"messages": messages})
    assert answer.status_code == 400
    assert "nested too deep" in answer.json["error"]["message"]


def test_arguments_that_are_no_json_are_passed_on(here):
    call = {"id": "call12345", "type": "function", "function": {"name": "f", "arguments": "{not json"}}
    messages = [*HELLO, {"role": "assistant", "tool_calls": [call]}, *HELLO]
    assert here.client.post(CHAT, json={"messages": messages}).status_code == 200


def test_several_answers_have_an_index_and_one_prompt(here):
    one = chat(here, seed=7).json["usage"]
    answer = chat(here, n=3, seed=7).json
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert [call.config.seed for call in list(here.backend.calls)[-3:]] == [7, 8, 9]
    assert answer["usage"]["prompt_tokens"] == one["prompt_tokens"]


def test_several_prompts_are_answered_in_order(tmp_path):
    with desk(tmp_path, ScriptedBackend(lambda prompt, config: f"<{prompt.text}>")) as here:
        answer = here.client.post(TEXT, json={"prompt": ["a", "b"], "n": 2, "echo": True}).json
        streamed = here.client.post(TEXT, json={"prompt": ["a", "b"], "stream": True}).get_data(as_text=True)
    assert [choice["text"] for choice in answer["choices"]] == ["a<a>", "a<a>", "b<b>", "b<b>"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert '"index":1' in streamed
    assert streamed.count("[DONE]") == 1


def test_numbers_of_tokens_stand_for_text(here, monkeypatch):
    monkeypatch.setattr(
        here.backend, "text_of", lambda tokens: "".join(chr(token) for token in tokens), raising=False
    )
    here.client.post(TEXT, json={"prompt": [72, 105]})
    assert here.backend.calls[-1].prompt.text == "Hi"
    here.client.post(TEXT, json={"prompt": [[72], [105]]})
    assert [call.prompt.text for call in list(here.backend.calls)[-2:]] == ["H", "i"]


def test_a_backend_without_token_numbers_says_so(here):
    answer = here.client.post(TEXT, json={"prompt": [72, 105]})
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "unsupported")
    assert "Send the text" in answer.json["error"]["message"]
