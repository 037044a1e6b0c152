from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orchestrator_core.chat_request import ChatRequest, GenerateRequest
from orchestrator_core.errors import InvalidRequest, PayloadTooLarge
from orchestrator_core.generation import GenerationConfig


def test_a_message_alone_is_enough() -> None:
    request = ChatRequest.parse({"message": "Hello"})
    assert request.message == "Hello"
    assert request.conversation_id is None
    assert request.generation(GenerationConfig(temperature=0.3)).temperature == 0.3


def test_null_means_absent_and_unknown_fields_are_ignored() -> None:
    body = {
        "message": "Hi",
        "conversation_id": None,
        "max_tokens": None,
        "stop": None,
        "model": 5,
        "user": {},
    }
    assert ChatRequest.parse(body) == ChatRequest(message="Hi")


def test_fields_go_over_the_defaults() -> None:
    request = ChatRequest.parse(
        {"message": "Hi", "max_tokens": 12, "temperature": 0, "top_k": 0, "stop": "END", "seed": 7}
    )
    config = request.generation(GenerationConfig(top_p=0.5, stop=["x"]))
    assert (config.max_new_tokens, config.temperature, config.top_k) == (12, 0.0, 0)
    assert (config.top_p, config.stop, config.seed) == (0.5, ["END"], 7)
    assert config.is_greedy


def test_asking_for_sampling_lifts_a_greedy_default() -> None:
    greedy = GenerationConfig(greedy=True)
    assert not ChatRequest(message="a", temperature=0.8).generation(greedy).is_greedy
    assert ChatRequest(message="a", temperature=0.0).generation(greedy).is_greedy
    assert ChatRequest(message="a").generation(greedy).is_greedy


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "'message' is missing"),
        ({"message": ""}, "empty"),
        ({"message": " \n\t"}, "empty"),
        ({"message": None}, "must be a text"),
        ({"message": 5}, "must be a text (given: 5)"),
        ({"message": ["a"]}, "must be a text"),
        ({"message": "\ud83d"}, "surrogate"),
        ({"message": "a", "context": "x\udc00"}, "surrogate"),
        ({"message": "a", "max_tokens": "12"}, "'max_tokens' must be a whole number (given: '12')"),
        ({"message": "a", "max_tokens": True}, "'max_tokens' must be a whole number (given: True)"),
        ({"message": "a", "max_tokens": 1.5}, "'max_tokens' must be a whole number"),
        ({"message": "a", "max_tokens": 0}, "'max_tokens' must be at least 1 (given: 0)"),
        ({"message": "a", "max_tokens": -1}, "'max_tokens' must be at least 1 (given: -1)"),
        ({"message": "a", "max_tokens": 10**9}, "'max_tokens' must be at most 1000000"),
        ({"message": "a", "max_tokens": 10**5000}, "'max_tokens' must be at most 1000000"),
        ({"message": "a", "temperature": "hot"}, "'temperature' must be a number"),
        ({"message": "a", "temperature": False}, "'temperature' must be a number"),
        ({"message": "a", "temperature": float("nan")}, "'temperature' must be a finite number"),
        ({"message": "a", "temperature": -0.1}, "'temperature' must be at least 0"),
        ({"message": "a", "top_p": -1}, "'top_p' must be at least 0"),
        ({"message": "a", "stop": ""}, "'stop' must have at least 1"),
        ({"message": "a", "stop": [""]}, "'stop"),
        ({"message": "a", "stop": 5}, "'stop' must be a text"),
        ({"message": "a", "stop": ["a", 5]}, "'stop"),
        ({"message": "a", "stop": ["a"] * 17}, "'stop"),
        ({"message": "a", "stop": "x" * 257}, "'stop"),
        ({"message": "a", "seed": -1}, "'seed' must be at least 0"),
        ({"message": "a", "seed": 2**32}, "'seed' must be at most"),
        ({"message": "a", "tier": "moon"}, "'tier' must be 'auto', 'desktop' or 'vps' (given: 'moon')"),
        ({"message": "a", "conversation_id": 3}, "'conversation_id' must be a text"),
        ({"message": "a", "conversation_id": ""}, "'conversation_id' must have at least 1"),
        ([], "must be a JSON object"),
        ("Hello", "must be a JSON object"),
        (None, "must be a JSON object"),
    ],
)
def test_a_bad_body_is_refused_in_words_that_name_the_field(body: Any, said: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ChatRequest.parse(body)
    assert said in caught.value.message
    caught.value.message.encode("utf-8")
    assert caught.value.status == 400


def test_the_refused_field_is_named_for_clients_that_speak_openai() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ChatRequest.parse({"message": "a", "stop": [""]})
    assert caught.value.param == "stop"


def test_a_text_over_the_servers_limit_is_too_large() -> None:
    request = ChatRequest(message="a" * 11)
    request.check_size(11)
    with pytest.raises(PayloadTooLarge, match="11 characters; this server accepts 10"):
        request.check_size(10)
    with pytest.raises(PayloadTooLarge, match="'context'"):
        ChatRequest(message="a", context="b" * 11).check_size(10)
    with pytest.raises(PayloadTooLarge, match="'prompt'"):
        GenerateRequest(prompt="b" * 11).check_size(10)


def test_generate_has_the_same_rules() -> None:
    request = GenerateRequest.parse({"prompt": "[INST] x [/INST]", "max_tokens": 3, "stop": ["a", "b"]})
    config = request.generation(GenerationConfig())
    assert (config.max_new_tokens, config.stop) == (3, ["a", "b"])
    for body in ({}, {"prompt": ""}, {"prompt": 3}, {"prompt": "a", "max_tokens": "3"}):
        with pytest.raises(InvalidRequest):
            GenerateRequest.parse(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (*ChatRequest.model_fields,)


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_any_json_is_accepted_or_refused_as_invalid(body: dict[str, Any]) -> None:
    body = json.loads(json.dumps(body))
    try:
        request = ChatRequest.parse(body)
    except InvalidRequest as error:
        assert error.message
    else:
        assert request.message.strip()
        request.generation(GenerationConfig())
