"""What a model's own template writes as a call, the reader of this model's answers reads as that call."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from orchestrator_core.text.answer_reader import Call, Said, Thought
from support.conversations import IN_OSLO, IN_PARIS, called
from support.fetched import llama_source
from support.template_conformance import templates
from support.written_answers import read, template_of, written

QUOTED = (
    "abcDEF123",
    "get_time",
    {"zone": "Zürich \"x\"\n<b> 'q' [1] {2}", "more": {"a": [1, True, {"b": "c"}]}},
)
ANSWERS = {
    "one call": called(IN_PARIS),
    "two calls": called(IN_PARIS, IN_OSLO),
    "quotes and brackets": called(QUOTED),
    "no arguments": called(("abcDEF124", "get_time", {})),
    "thoughts before": called(IN_OSLO, reasoning="Let me think."),
}
SHOW_NO_CALLS = {
    *("HuggingFaceTB-SmolLM3-3B", "LFM2-8B-A1B", "LFM2.5-Instruct", "NVIDIA-Nemotron-Nano-v2"),
    *("google-gemma-2-2b-it", "ibm-granite-granite-3.3-2B-Instruct", "llama-cpp-rwkv-world"),
    *("microsoft-Phi-3.5-mini-instruct", "deepseek-ai-DeepSeek-R1-Distill-Llama-8B"),
}
"""Templates that show a call to the model in no form, so there is none to learn."""
NOT_LEARNED = {"Kimi-K3", "MiniMax-M3"}
"""Arguments as tags named after them, or with tags whose own parts vary."""
NOT_ESCAPED = {"LFM2.5-8B-A1B", "openbmb-MiniCPM5-1B"}
"""What these templates write of texts with quotes is itself ambiguous, or CDATA."""
ONE_MESSAGE_PER_CALL = {"Llama-3", "functionary-medium-v3.2"}


EDIT = {
    "type": "function",
    "function": {
        "name": "edit.file-v2",
        "description": "Write a file.",
        "parameters": {
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "text": {"type": "string"},
                "mode": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                "line": {"type": "integer"},
                "keep": {"type": "boolean"},
                "more": {},
            },
        },
    },
}
EDITS: dict[str, dict[str, object]] = {
    "line breaks at both ends": {"path": "a", "text": "\n  indented\nlast\n\n"},
    "what looks like other types": {"path": "123", "text": "true", "mode": "null and void"},
    "true, false and null": {"path": "a", "line": -5, "keep": False, "mode": None, "more": None},
    "marks of calls": {"path": "a", "text": "</parameter> and </arg_value> and <tool_call> and </tool_call>"},
    "lists and objects": {"path": "a", "more": [1, {"b": [None, True]}]},
    "an empty text": {"path": "", "text": ""},
}


@pytest.mark.slow
@pytest.mark.parametrize("label", EDITS)
def test_arguments_come_back_as_they_were(label: str) -> None:
    schema = {"edit.file-v2": EDIT["function"]["parameters"]}
    misread = []
    for name, source in templates(llama_source()).items():
        template = template_of(source)
        text, thinking = written(template, called(("abcDEF123", "edit.file-v2", EDITS[label])), (EDIT,))
        if not text or name in NOT_LEARNED | NOT_ESCAPED:
            continue
        for size in (1, 100_000):
            parts = read(template, text, size, thinking=thinking, tools=schema)
            if [part for part in parts if isinstance(part, Call)] != [Call("edit.file-v2", EDITS[label])]:
                misread.append((name, size, parts, text))
    assert not misread, misread[:3]


@pytest.mark.slow
def test_calls_are_read_in_the_form_that_the_models_template_writes() -> None:
    misread = [*_misread()]
    assert not misread, misread[:5]


def _misread() -> Iterator[tuple[str, str, int, list[object], str]]:
    for name, source in templates(llama_source()).items():
        template = template_of(source)
        for label, answer in ANSWERS.items():
            text, thinking = written(template, answer)
            assert bool(text) != (name in SHOW_NO_CALLS), name
            if not text or name in NOT_LEARNED or (label == "quotes and brackets" and name in NOT_ESCAPED):
                continue
            wanted = [
                Call(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in answer.tool_calls
            ]
            if label == "two calls" and any(part in name for part in ONE_MESSAGE_PER_CALL):
                continue  # The second stands in a message of its own.
            for size in (1, 7, 100_000):
                parts = read(template, text, size, thinking=thinking)
                calls = [part for part in parts if isinstance(part, Call)]
                said = "".join(part.text for part in parts if isinstance(part, Said | Thought))
                if calls != wanted or "Oslo" in said or "Paris" in said:
                    yield name, label, size, parts, text
                    break
