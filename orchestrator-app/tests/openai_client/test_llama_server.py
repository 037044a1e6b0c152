"""What llama-server's own tests ask of a server, asked of ours with a real llama.cpp.

`@shows` names the upstream tests whose behaviour a test shows, `ELSEWHERE` our tests in other files that show it,
and `ABSENT` why there is nothing to show: every upstream test is in one of them.
"""

import ast
import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

import anthropic
import openai
import pytest
import requests
from ai_orchestrator.server import Server
from gguf_random import preset_model
from orchestrator_core.settings import Settings
from support.fetched import llama_source
from support.openai_calls import HELLO

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[3]
OPENAI, VENDORS = "orchestrator-app/tests/openai_client/test_", "orchestrator-app/tests/vendors/test_"
HTTP, CORE = "orchestrator-core/tests/http/test_", "orchestrator-core/tests/"
HTTP_ACCESS = "orchestrator-core/tests/http/access/test_"

SHOWN: dict[str, str] = {}
"""Our test, and what it shows: names of upstream files, each followed by its tests; `*` stands for anything."""

ELSEWHERE = {
    OPENAI + "chat.py::test_chat": "chat_completion: chat_completion *_with_openai_library",
    OPENAI + "chat.py::test_a_client_that_leaves_ends_its_run": "completion: cancel_request",
    OPENAI + "control_tokens.py::test_thoughts_are_no_part_of_the_answer": "tool_call: thoughts",
    OPENAI
    + "logprobs.py::test_each_token_of_a_chat_has_its_probability": "chat_completion: logprobs logprobs_stream",
    OPENAI + "logprobs.py::test_biases_move_the_choice_by_what_they_say": "chat_completion: logit_bias",
    OPENAI
    + "real_engine.py::test_a_demanded_call_always_has_valid_arguments": "tool_call: *_required_tool_*",
    OPENAI + "tools.py::test_with_tools_the_model_may_still_just_answer": "tool_call: *_without_tool_call_*",
    OPENAI + "tools.py::test_tools_are_called_when_the_model_wants_to": "tool_call: weather hello_world",
    OPENAI + "tools.py::test_a_tools_result_goes_back_to_the_model": "tool_call: calc_result",
    VENDORS + "responses.py::test_an_answer": "compat_oai_responses: responses_with_openai_library",
    VENDORS
    + "responses.py::test_the_events_of_a_stream": "compat_oai_responses: responses_stream_with_openai_library",
    VENDORS + "anthropic.py::test_tools_are_called_and_their_results_go_back": (
        "compat_anthropic: *_tool_use_basic *_tool_result *_tool_result_with_text *_tool_streaming"
    ),
    HTTP + "prefill.py::test_only_what_follows_is_returned": (
        "chat_completion: *_assistant_prefill *_continue_final_message_vllm_compat"
    ),
    CORE + "prompt/test_template.py::test_the_models_own_template_is_used": "chat_completion: chat_template",
    CORE
    + "prompt/test_template_conformance.py::test_every_prompt_equals_transformers_or_keeps_what_that_loses": (
        "template: add_generation_prompt; compat_anthropic: *_thinking_history_in_template"
    ),
    HTTP_ACCESS
    + "cors.py::test_a_preflight_needs_no_key": "security: cors_options cors_origins_localhost_reflects",
    HTTP_ACCESS + "cors.py::test_others_are_refused": "security: cors_origins_localhost_rejects",
    HTTP + "security.py::test_health_says_nothing_but_that_it_is_well": "security: access_public_endpoint",
    HTTP + "security.py::test_the_page_is_served_without_the_key_and_says_nothing_private": (
        "security: access_static_assets_without_api_key"
    ),
    HTTP + "security.py::test_a_wrong_key_on_v1_has_openais_shape": "security: incorrect_api_key",
    HTTP
    + "security.py::test_the_right_key_opens": "security: correct_api_key openai_library_correct_api_key",
    HTTP + "security.py::test_the_key_may_come_as_anthropics_clients_send_it": "security: *_anthropic_header",
    HTTP
    + "client_input.py::test_several_answers_have_an_index_and_one_prompt": "chat_completion: *_multiple_choices",
    HTTP + "client_input.py::test_what_the_model_cannot_see_is_named": (
        "completion: json_prompt_mtm_error_when_not_supported; vision_api: *models_supports_multimodal_capability"
    ),
    CORE + "engine/test_supervisor.py::test_an_idle_engine_gives_its_memory_back_and_returns_on_demand": (
        "sleep: server_sleep server_sleep_read_only_endpoints server_sleep_token_counting_wake"
    ),
    CORE + "engine/test_saved_prefix.py::test_what_was_written_is_read_back": "slot_save: slot_save_restore",
    HTTP + "runs.py::test_a_run_can_be_followed_again_from_any_offset": "stream: *_resumes_after_reload_*",
    HTTP + "runs.py::test_stopping_a_run_from_elsewhere_keeps_its_text": "stream: *_stop_*",
    HTTP + "health.py::test_metrics_count_what_happened": "metrics: *_prometheus_format *_predicted_total_*",
}

ABSENT = {
    "llama-server's own routes and fields (`/completion`, `/tokenize`, `/apply-template`, `/props`, `/slots`, timings)": (
        "basic: server_props server_slots;"
        "chat_completion: apply_chat_template verbose_debug *_timings_per_token return_progress;"
        "compat_oai_responses: *_llama_telemetry;"
        "completion: json_prompt_no_mtmd completion_response_fields n_probs_post_*;"
        "ignore_eos: *; tokenize: *; sleep: *_metrics_buckets;"
        "metrics: *_disabled *_cached *_slots_idle_* *_rate_* *_timings_* *_embedding_prompt_is_counted"
    ),
    "The last message of the assistant's is always continued, so no field asks for it": (
        "chat_completion: *_mutual_exclusion"
    ),
    "An answer ends with `length` where the window is full; nothing is shifted out of it": (
        "ctx_shift: ctx_shift_enabled; speculative: with_ctx_shift"
    ),
    "One address; a proxy gives others": "basic: server_multiple_addresses",
    "The page is part of the product": "basic: no_ui",
    "Any name but `orchestrator` is the bare model's": "basic: server_model_aliases_and_tags",
    "A model is one file": "basic: load_split_model",
    "The engine chooses its batches": "completion: consistent_result_different_batch_size",
    "Skipped upstream": "completion: cache_vs_nocache_prompt",
    "Text only": (
        "security: local_media_file; vision_api: vision_*; slot_save: *image* *multimodal *mmproj;"
        "compat_anthropic: *_base64_with_multimodal_model"
    ),
    "A request cannot switch the model's thoughts on or off": (
        "compat_anthropic: anthropic_thinking *_with_reasoning_model; template: reasoning"
    ),
    "The date stands in the question, not in the system text, so that the prefix stays": "template: date_inside_prompt",
    "Google's form of requests is not spoken": "compat_gcp: *",
    "One vector per text, pooled as the model's file says; an input is texts or tokens, not both": (
        "embedding: *_with_fa *_mixed_input *_same_as_string *_pooling_*"
    ),
    "What is longer than the window is embedded in parts": "embedding: embedding_error_prompt_too_long",
    "The route `/infill` is llama-server's own; OpenAI's `suffix` of `/v1/completions` does the same": "infill: *",
    "The engine keeps prefixes by its own rules; clients see no slots": (
        "kv_keep_only_active: *; slot_save: *_legacy_token_list slot_erase"
    ),
    "An adapter belongs to the model that is active": "lora: *",
    "Clients run their tools; the server has no shell, no files and no MCP servers for them": (
        "mcp_servers: *; tools_builtin: *"
    ),
    "No route fetches other sites for a page": (
        "proxy: *; security: cors_proxy_* cors_origins_defaults_to_localhost_with_tools_enabled"
    ),
    "No reranking model": "rerank: *",
    "One model answers at a time; the registry changes it": "router: *",
    "No draft model": "speculative: with_and_* different_* synth_* slot_* multi_*",
}


def shows(behaviours):
    def register(test):
        SHOWN[test.__name__] = behaviours
        return test

    return register


def patterns(behaviours):
    for part in filter(None, behaviours.split(";")):
        file, names = part.split(":")
        yield from (f"test_{file.strip()}.py::test_{name}" for name in names.split())


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    settings = Settings.model_validate(
        {
            "data": data,
            "model": {"path": str(preset_model(data / "random.gguf", "tiny")), "context_length": 512},
            "server": {"port": 0, "threads": 16},
            "engine": {"threads": 1},
        }
    )
    with Server(settings) as server:
        server.services.model.ensure(120)
        yield server.url


@pytest.fixture(scope="module")
def client(url):
    with openai.OpenAI(base_url=url + "/v1", api_key="any", max_retries=0, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def claude(url):
    with anthropic.Anthropic(base_url=url, api_key="any", max_retries=0, timeout=120) as client:
        yield client


def continued(client, prompt="Once upon a time", **fields):
    return client.completions.create(
        model="m", prompt=prompt, **{"max_tokens": 8, "temperature": 0, **fields}
    )


def asked(client, **fields):
    return client.chat.completions.create(
        model="m", **{"messages": HELLO, "max_tokens": 8, "temperature": 0, **fields}
    )


def posted(url, route, **body):
    return requests.post(url + route, json=body, timeout=120)


@shows("basic: server_start_simple server_models")
def test_it_is_well_and_lists_its_model_and_the_assistant(url, client):
    assert requests.get(url + "/health", timeout=30).status_code == 200
    assert [model.id for model in client.models.list()][1:] == ["orchestrator"]


@shows("completion: completion completion_stream *_vs_non_stream *_with_openai_library")
def test_a_text_is_continued_by_as_many_tokens_whole_or_streamed(client):
    whole = continued(client)
    assert (whole.usage.completion_tokens, whole.choices[0].finish_reason) == (8, "length")
    parts = [chunk.choices[0] for chunk in continued(client, stream=True)]
    assert "".join(part.text for part in parts) == whole.choices[0].text != ""
    assert [part.finish_reason for part in parts if part.finish_reason] == ["length"]


@shows("completion: consistent_result_same_seed different_result_different_seed")
def test_a_seed_gives_the_same_again_and_another_seed_another(client):
    def text(seed):
        return continued(client, seed=seed, temperature=1, max_tokens=24).choices[0].text

    assert text(42) == text(42)
    assert len({text(seed) for seed in range(4)}) == 4


@shows(
    "completion: nocache_long_input_prompt; ctx_shift: *_disabled_long_prompt;"
    "chat_completion: context_size_exceeded context_size_exceeded_stream"
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_fills_the_window_is_refused_with_its_size(client, stream):
    for ask in (
        lambda: continued(client, "Once upon a time " * 400, stream=stream),
        lambda: asked(client, messages=[{"role": "user", "content": "word " * 2000}], stream=stream),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            ask()
        assert caught.value.code == "context_length_exceeded"
        assert re.search(r"\d", caught.value.body["message"])


@shows("ctx_shift: *_disabled_short_prompt *_disabled_stream")
def test_without_a_limit_the_answer_ends_where_the_window_does(client):
    whole = continued(client, max_tokens=-1, logit_bias={"2": -100})
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage.total_tokens == 512
    *_, last = continued(client, max_tokens=-1, logit_bias={"2": -100}, stream=True)
    assert last.choices[0].finish_reason == "length"


@shows("completion: completion_with_tokens_input")
def test_tokens_are_a_prompt_as_texts_are(client):
    answers = continued(client, [[4, 5, 6], [4, 5, 6]], max_tokens=4).choices
    assert [choice.index for choice in answers] == [0, 1]
    assert answers[0].text == answers[1].text == continued(client, [4, 5, 6], max_tokens=4).choices[0].text


@shows("completion: completion_parallel_slots completion_unified completion_prompt_cache")
def test_side_by_side_each_gets_the_answer_that_it_gets_alone(client):
    prompts = [f"Story {number}: " for number in range(6)]
    alone = [continued(client, prompt, max_tokens=16).choices[0].text for prompt in prompts]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda prompt: continued(client, prompt, max_tokens=16), prompts))
    assert [answer.choices[0].text for answer in together] == alone


@shows("completion: n_probs n_probs_stream logit_bias")
def test_each_token_of_a_text_has_its_probability_and_a_bias_rules_it_out(client):
    told = continued(client, max_tokens=5, logprobs=10).choices[0].logprobs
    assert len(told.tokens) == 5 and all(logprob <= 0 for logprob in told.token_logprobs)
    assert all(
        0 < len(likeliest) <= 10 for likeliest in told.top_logprobs
    )  # several tokens may have one text
    streamed = [
        chunk.choices[0].logprobs for chunk in continued(client, max_tokens=5, logprobs=10, stream=True)
    ]
    assert [token for part in streamed if part for token in part.tokens] == told.tokens
    every = {str(token): -100 for token in range(4, 200)}
    assert continued(client, logit_bias=every).choices[0].text != continued(client).choices[0].text


@shows("chat_completion: chat_completion_cached_tokens")
def test_what_two_prompts_begin_with_is_computed_once(client):
    def cached(text):
        return asked(
            client, messages=[{"role": "user", "content": text}]
        ).usage.prompt_tokens_details.cached_tokens

    cached("one two three four five six")
    again, other_end = cached("one two three four five six"), cached("one two three four five nine")
    assert again > other_end > 0


@shows("chat_completion: chat_completion_stream")
def test_the_chunks_of_a_chat_have_one_id_and_one_role(client):
    chunks = list(asked(client, stream=True, stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    assert [chunk.choices[0].delta.role for chunk in chunks if chunk.choices][:2] == ["assistant", None]
    assert chunks[-1].usage.completion_tokens == 8


@shows("chat_completion: completion_with_response_format completion_with_json_schema")
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"response_format": {"type": "json_object", "schema": {"const": "42"}}}, '"42"'),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "schema": {"const": "foo"}},
                }
            },
            '"foo"',
        ),
        ({"json_schema": {"const": "42"}}, '"42"'),
        ({"response_format": {"type": "sound"}}, None),
        ({"response_format": {"type": "json_object", "schema": 123}}, None),
        ({"response_format": {"type": "json_object", "schema": {"type": 123}}}, None),
        ({"response_format": {"type": "json_object", "schema": {"type": "hiccup"}}}, None),
        ({"json_schema": {"type": "hiccup"}}, None),
    ],
)
def test_an_answer_follows_its_schema_and_what_is_none_is_refused(url, fields, text):
    answer = posted(url, "/v1/chat/completions", model="m", messages=HELLO, max_tokens=60, **fields)
    assert answer.status_code == (400 if text is None else 200), answer.text
    if text is not None:
        assert json.loads(answer.json()["choices"][0]["message"]["content"]) == json.loads(text)


@shows("chat_completion: completion_with_grammar completion_with_invalid_grammar")
def test_an_answer_follows_a_grammar_and_what_is_none_is_refused(client):
    answer = asked(client, max_tokens=12, extra_body={"grammar": 'root ::= "a"{5,5}'})
    assert answer.choices[0].message.content == "aaaaa"
    with pytest.raises(openai.BadRequestError):
        asked(client, extra_body={"grammar": "root ::= this is (no grammar"})


@shows("chat_completion: invalid_chat_completion_req")
@pytest.mark.parametrize(
    "messages", [None, "text", [1], [{}], [{"role": 1}], [{"role": "system", "content": 1}], [*HELLO, {}]]
)
def test_what_are_no_messages_is_refused(url, messages):
    answer = posted(url, "/v1/chat/completions", model="m", messages=messages)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


@shows(
    "chat_completion: chat_completions_token_count;"
    "compat_anthropic: anthropic_count_tokens anthropic_count_tokens_* anthropic_thinking_history_in_count_tokens"
)
def test_tokens_are_counted_without_an_answer(claude):
    short = claude.messages.count_tokens(model="m", messages=HELLO).input_tokens
    with_system = claude.messages.count_tokens(model="m", messages=HELLO, system="Be brief.").input_tokens
    assert 0 < short < with_system
    thought = {"type": "thinking", "thinking": "Three blocks stay three.", "signature": "s"}
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "Yes."}]}
    assert claude.messages.count_tokens(model="m", messages=[*HELLO, said, *HELLO]).input_tokens > short


@shows(
    "compat_anthropic: *_messages_basic *_messages_with_system *_multipart_content *_conversation *_temperature *_top_p *_top_k"
    " *_metadata *_different_response_format"
)
def test_a_message_of_anthropics_clients_is_answered(claude):
    answer = claude.messages.create(
        model="m",
        max_tokens=8,
        system="Be brief.",
        extra_body={"temperature": 0.5, "top_p": 0.9, "top_k": 20},
        metadata={"user_id": "u"},
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Say"}, {"type": "text", "text": "yes"}]},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Again."},
        ],
    )
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "max_tokens")
    assert answer.content[0].type == "text" and answer.usage.output_tokens == 8


@shows("compat_anthropic: *_messages_streaming *_streaming_content_block_indices")
def test_the_blocks_of_a_message_begin_and_end_in_order(claude):
    events = list(claude.messages.create(model="m", max_tokens=8, messages=HELLO, stream=True))
    kinds = [event.type for event in events if event.type != "content_block_delta"]
    assert kinds == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert {event.index for event in events if event.type.startswith("content_block")} == {0}


@shows("compat_anthropic: *_stop_sequences; completion: *_library_stops")
def test_an_answer_ends_before_a_stop_sequence(client, claude):
    def message(**fields):
        return claude.messages.create(
            model="m", max_tokens=24, messages=HELLO, extra_body={"temperature": 0}, **fields
        )

    whole = message().content[0].text
    middle = whole[len(whole) // 2]
    cut = message(stop_sequences=[middle]).content
    assert "".join(block.text for block in cut) == whole.partition(middle)[0]
    text = continued(client).choices[0].text
    middle = text[len(text) // 2]
    parts = [chunk.choices[0].text for chunk in continued(client, stop=[middle, "never"], stream=True)]
    assert "".join(parts) == text.partition(middle)[0]


@shows(
    "compat_anthropic: *_missing_messages *_empty_messages *_tool_result_with_image *_tool_result_error"
    " *_vision_format_accepted"
)
def test_what_anthropics_clients_may_send_is_taken_or_refused_in_words(url, claude):
    for fields in ({}, {"messages": []}):
        refused = posted(url, "/v1/messages", model="m", max_tokens=8, **fields)
        assert refused.status_code == 400 and refused.json()["error"]["type"] == "invalid_request_error"
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    with pytest.raises(anthropic.BadRequestError, match="takes no images"):
        claude.messages.create(model="m", max_tokens=8, messages=[{"role": "user", "content": [image]}])
    call = {"type": "tool_use", "id": "toolu_1", "name": "clock", "input": {}}

    def result(**fields):
        return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", **fields}]}

    called = [*HELLO, {"role": "assistant", "content": [call]}]
    failed = [*called, result(content="no such clock", is_error=True)]
    assert claude.messages.create(model="m", max_tokens=4, messages=failed).usage.output_tokens
    with pytest.raises(anthropic.BadRequestError, match="takes no images"):
        claude.messages.create(model="m", max_tokens=4, messages=[*called, result(content=[image])])


@shows(
    "embedding: embedding_single embedding_multiple *_usage_* *_openai_library_* same_prompt_give_same_result embedding_invalid_input"
)
def test_vectors_are_of_length_one_the_same_again_and_counted(url, client):
    texts = ["Lamps are blue.", "Lamps are blue.", "Rain."]
    answer = client.embeddings.create(model="m", input=texts, encoding_format="float")
    first, second, third = (one.embedding for one in answer.data)
    assert sum(number**2 for number in first) == pytest.approx(1, abs=1e-3)
    assert first == pytest.approx(second, abs=1e-6) and first != third
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 3
    packed = client.embeddings.create(model="m", input=texts[0], encoding_format="base64").data[0].embedding
    assert packed and client.embeddings.create(model="m", input=texts[0]).data[0].embedding == pytest.approx(
        first
    )
    for given in ([], {"content": "text"}, {"content": [{"type": "image_url"}]}):
        assert posted(url, "/v1/embeddings", model="m", input=given).status_code == 400


def test_every_upstream_test_is_shown_or_has_a_reason():
    folder = llama_source() / "tools" / "server" / "tests" / "unit"
    upstream = {
        f"{file.name}::{node.name}"
        for file in folder.glob("test_*.py")
        for node in ast.parse(file.read_text("utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    named = [
        pattern
        for table in (SHOWN, ELSEWHERE, ABSENT)
        for text in table.values()
        for pattern in patterns(text)
    ]
    matches = Counter({name: sum(fnmatchcase(name, pattern) for pattern in named) for name in upstream})
    assert {name for name in upstream if matches[name] == 0} == set()
    assert {name for name in upstream if matches[name] > 1} == set()
    assert [pattern for pattern in named if not any(fnmatchcase(name, pattern) for name in upstream)] == []


@pytest.mark.parametrize("test", ELSEWHERE)
def test_a_test_elsewhere_is_there(test):
    path, name = test.split("::")
    assert f"def {name}(" in (REPOSITORY / path).read_text("utf-8")


def test_the_reasons_are_in_the_documentation():
    documented = (REPOSITORY / "docs" / "compatibility.md").read_text("utf-8")
    assert [reason for reason in ABSENT if f"| {reason} |" not in documented] == []
