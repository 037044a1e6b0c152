"""Tools and JSON schemas with a real llama.cpp: a model of random weights babbles, and yet what
clients get is always valid JSON of their schema."""

import json

import openai
import pytest
from ai_orchestrator.server import Server
from gguf_random import preset_model
from jsonschema_rs import Draft202012Validator
from orchestrator_core.settings import Settings
from support.openai_calls import HELLO

pytestmark = pytest.mark.slow

ORDER = {
    "type": "object",
    "properties": {
        "dish": {"enum": ["soup", "salad"]},
        "persons": {"type": "integer", "minimum": 1, "maximum": 9},
        "table": {"type": "integer", "minimum": 1000},
        "extras": {"type": "array", "items": {"$ref": "#/$defs/extra"}, "maxItems": 2},
    },
    "required": ["dish", "persons", "table"],
    "additionalProperties": False,
    "$defs": {
        "extra": {
            "type": "object",
            "properties": {"bread": {"type": "boolean"}},
            "required": ["bread"],
            "additionalProperties": False,
        }
    },
}
TOOLS = [
    {"type": "function", "function": {"name": "order", "parameters": ORDER}},
    {"type": "function", "function": {"name": "cancel"}},
]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    model = preset_model(data / "random.gguf", "tiny")
    settings = Settings.model_validate(
        {
            "data": data,
            "model": {"path": str(model), "context_length": 2048},
            "server": {"port": 0, "threads": 16},
            "engine": {"threads": 1},
        }
    )
    with Server(settings) as server:
        server.services.model.ensure(120)
        with openai.OpenAI(base_url=server.url + "/v1", api_key="any", max_retries=0, timeout=120) as client:
            yield client


@pytest.mark.parametrize("seed", range(4))
def test_a_demanded_call_always_has_valid_arguments(client, seed):
    answer = client.chat.completions.create(
        model="m", messages=HELLO, tools=TOOLS, tool_choice="required", seed=seed, max_tokens=400
    )
    (call,) = answer.choices[0].message.tool_calls
    arguments = json.loads(call.function.arguments)
    assert call.function.name in ("order", "cancel")
    if call.function.name == "order":
        Draft202012Validator(ORDER).validate(arguments)
    else:
        assert arguments == {}


def test_a_named_call_streams_its_arguments(client):
    choice = {"type": "function", "function": {"name": "order"}}
    parts = []
    for chunk in client.chat.completions.create(
        model="m", messages=HELLO, tools=TOOLS, tool_choice=choice, seed=3, max_tokens=400, stream=True
    ):
        parts += [part.function for part in chunk.choices[0].delta.tool_calls or ()]
    assert parts[0].name == "order"
    assert len(parts) > 3
    Draft202012Validator(ORDER).validate(json.loads("".join(part.arguments for part in parts)))


def test_with_free_choice_it_babbles_and_nothing_breaks(client):
    answer = client.chat.completions.create(model="m", messages=HELLO, tools=TOOLS, max_tokens=20, seed=1)
    assert answer.choices[0].message.content or answer.choices[0].message.tool_calls


@pytest.mark.parametrize("seed", range(3))
def test_a_json_schema_is_followed(client, seed):
    answer = client.chat.completions.create(
        model="m",
        messages=HELLO,
        seed=seed,
        max_tokens=400,
        response_format={"type": "json_schema", "json_schema": {"name": "order", "schema": ORDER}},
    )
    Draft202012Validator(ORDER).validate(json.loads(answer.choices[0].message.content))


def test_a_schema_that_no_text_satisfies_is_an_error_in_words(client):
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": "^(?=x)y$", "maxLength": 9}},
        "required": ["a"],
        "additionalProperties": False,
    }
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(
            model="m",
            messages=HELLO,
            response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        )
    assert (caught.value.status_code, caught.value.code) == (502, "schema_not_followed")


def test_a_cached_prompt_is_reported(client):
    messages = [{"role": "user", "content": "The same question, twice. " * 10}]
    first = client.chat.completions.create(model="m", messages=messages, max_tokens=3, temperature=0)
    again = client.chat.completions.create(model="m", messages=messages, max_tokens=3, temperature=0)
    assert again.choices[0].message.content == first.choices[0].message.content
    usage = again.usage
    assert usage.prompt_tokens_details.cached_tokens >= 0.95 * usage.prompt_tokens - 1
