"""Calls and thoughts of models that mark them with control tokens, through the real engine."""

import json
from pathlib import Path

import openai
import pytest
from gguf_scripted import scripted_model
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.settings import Settings
from support.conversations import TOOLS
from support.desktop import listening
from support.fetched import llama_source
from support.openai_calls import HELLO, KEY, added_up
from support.template_conformance import templates
from support.written_answers import tokens_of

pytestmark = pytest.mark.slow
PARIS = '{"city": "Paris"}'
SAID = {
    "unsloth-mistral-Devstral-Small-2507": f"[TOOL_CALLS]get_weather[ARGS]{PARIS}",
    "Mistral-Small-3.2-24B-Instruct-2506": f"[TOOL_CALLS]get_weather[CALL_ID]abc123456[ARGS]{PARIS}",
    "mistralai-Ministral-3-14B-Reasoning-2512": f"[THINK]Hm.[/THINK][TOOL_CALLS]get_weather[ARGS]{PARIS}",
    "openai-gpt-oss-120b": "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary "
    f"to=functions.get_weather <|constrain|>json<|message|>{PARIS}",
    "Kimi-K2-Instruct": "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
    f"<|tool_call_argument_begin|>{PARIS}<|tool_call_end|><|tool_calls_section_end|>",
    "deepseek-ai-DeepSeek-V3.1": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
    f"{PARIS}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
    "CohereForAI-c4ai-command-r7b-12-2024-tool_use": "<|START_THINKING|>Hm.<|END_THINKING|><|START_ACTION|>"
    f'[{{"tool_call_id": "0", "tool_name": "get_weather", "parameters": {PARIS}}}]<|END_ACTION|>',
}


@pytest.fixture
def client(tmp_path: Path, request: pytest.FixtureRequest):
    name, sentence = request.param
    source = templates(llama_source())[name]
    control = sorted(tokens_of(source) - {"<s>", "</s>", "[INST]", "[/INST]", "<unk>"})
    path = scripted_model(tmp_path / "model.gguf", sentence, template=source, control=control, context=8192)
    settings = Settings.model_validate({"data": tmp_path / "data", "model": {"path": str(path)}})
    with listening(tmp_path, LlamaCppBackend(settings), api_key=KEY) as server:
        client = openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0)
        yield client
        client.close()


@pytest.mark.parametrize("client", SAID.items(), ids=SAID, indirect=True)
def test_calls_marked_by_control_tokens_are_calls(client: openai.OpenAI) -> None:
    asked = {"model": "m", "messages": HELLO, "tools": TOOLS, "temperature": 0, "max_tokens": 400}
    answer = client.chat.completions.create(**asked)
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", json.loads(PARIS))
    assert answer.choices[0].message.content is None
    assert answer.choices[0].message.reasoning_content in (None, "Hm.")
    content, calls, reason = added_up(client.chat.completions.create(**asked, stream=True))
    assert (content, reason) == ("", "tool_calls")
    assert [json.loads(call["arguments"]) for call in calls] == [json.loads(PARIS)]


THOUGHT = {
    "mistralai-Ministral-3-14B-Reasoning-2512": "[THINK]Let me see.[/THINK]Hello there.",
    "Qwen-Qwen3-0.6B": "<think>\nLet me see.\n</think>\n\nHello there.",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "Let me see.\n</think>\n\nHello there.",
}


@pytest.mark.parametrize("client", THOUGHT.items(), ids=THOUGHT, indirect=True)
def test_thoughts_are_no_part_of_the_answer(client: openai.OpenAI) -> None:
    asked = {"model": "m", "messages": HELLO, "temperature": 0, "max_tokens": 400}
    message = client.chat.completions.create(**asked).choices[0].message
    assert (message.content, message.reasoning_content) == ("Hello there.", "Let me see.")
    deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**asked, stream=True)]
    assert "".join(delta.content or "" for delta in deltas) == "Hello there."
    thoughts = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thoughts.strip() == "Let me see."


@pytest.mark.parametrize("client", THOUGHT.items(), ids=THOUGHT, indirect=True)
def test_nor_are_they_of_the_assistants(client: openai.OpenAI) -> None:
    asked = {"model": "orchestrator", "messages": HELLO, "temperature": 0, "max_tokens": 400}
    message = client.chat.completions.create(**asked).choices[0].message
    assert (message.content, message.reasoning_content.strip()) == ("Hello there.", "Let me see.")
