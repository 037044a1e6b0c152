from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_core.backend import SpecialTokens
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.render_worker import TODAY_IN_WORDS
from orchestrator_core.prompt.rendering import RENDERER
from orchestrator_core.prompt.template import ChatTemplate
from support.chat_templates import CHATML, GEMMA, LLAMA_3, MISTRAL_LAST, SILENT_ABOUT_SYSTEM
from support.scripted import ScriptedBackend

CONTROL = frozenset(
    [
        "<s>",
        "</s>",
        "[INST]",
        "[/INST]",
        "<|im_start|>",
        "<|im_end|>",
        "<|eot_id|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<start_of_turn>",
        "<end_of_turn>",
    ]
)
SYSTEM = ChatMessage(Role.SYSTEM, "The house is blue.")
TURNS = [
    ChatMessage(Role.USER, "First question"),
    ChatMessage(Role.ASSISTANT, "First answer"),
    ChatMessage(Role.USER, "Second question"),
]
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells the weather", "parameters": {"type": "object"}},
}
ALL = {"none": None, "chatml": CHATML, "llama": LLAMA_3, "gemma": GEMMA, "silent": SILENT_ABOUT_SYSTEM,
       "mistral": MISTRAL_LAST, "broken": "{{ nothing.at.all.here }}"}  # fmt: skip


def template(source: str | None, *, adds_bos: bool = True) -> ChatTemplate:
    special = SpecialTokens(bos="<s>", eos="</s>", control=CONTROL, adds_bos=adds_bos)
    return ChatTemplate(source, special)


def test_the_models_own_template_is_used() -> None:
    prompt = template(CHATML).render([SYSTEM, *TURNS])
    assert prompt.text == (
        "<|im_start|>system\nThe house is blue.<|im_end|>\n<|im_start|>user\nFirst question<|im_end|>\n"
        "<|im_start|>assistant\nFirst answer<|im_end|>\n<|im_start|>user\nSecond question<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert len(prompt.pieces) == 1
    assert prompt.messages == (SYSTEM, *TURNS)


@pytest.mark.parametrize("source", ALL.values(), ids=ALL.keys())
def test_every_text_appears_once_and_the_prefix_stays_from_turn_to_turn(source: str | None) -> None:
    chosen = template(source)
    short = chosen.render([SYSTEM, *TURNS[:1]], stable_chars=len(SYSTEM.content))
    long = chosen.render([SYSTEM, *TURNS], stable_chars=len(SYSTEM.content))
    for message in (SYSTEM, *TURNS):
        assert long.text.count(message.content) == 1
    assert short.text[: short.stable_prefix] == long.text[: long.stable_prefix]
    assert long.text[: long.stable_prefix].endswith("The house is blue.")


def test_a_template_that_refuses_a_system_message_gets_it_in_the_first_user_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        text = template(GEMMA).render([SYSTEM, *TURNS]).text
    assert "<start_of_turn>user\nThe house is blue.\n\nFirst question<end_of_turn>" in text
    assert "System role not supported" in caplog.text


def test_a_template_that_drops_the_system_text_in_silence_gets_it_in_the_user_message() -> None:
    text = template(SILENT_ABOUT_SYSTEM).render([SYSTEM, *TURNS]).text
    assert text.startswith("U: The house is blue.\n\nFirst question\n")


def test_two_questions_in_a_row_become_one_where_roles_must_alternate() -> None:
    text = template(GEMMA).render([TURNS[0], TURNS[2]]).text
    assert "<start_of_turn>user\nFirst question\n\nSecond question<end_of_turn>" in text


def test_an_answer_at_the_beginning_gets_a_user_turn_before_it() -> None:
    text = template(GEMMA).render(TURNS[1:]).text
    assert text.startswith("<start_of_turn>user\n<end_of_turn>\n<start_of_turn>model\nFirst answer")


@pytest.mark.parametrize("source", [None, "", "  "])
def test_without_a_template_mistrals_first_form_is_used_and_the_reason_logged_once(
    source: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    special = SpecialTokens(bos="<s>", eos="</s>", adds_bos=True)
    with caplog.at_level(logging.WARNING):
        chosen = ChatTemplate(source, special)
        texts = {chosen.render(TURNS).text for _ in range(3)}
    assert texts == {"[INST] First question [/INST] First answer</s>[INST] Second question [/INST]"}
    assert len([record for record in caplog.records if "[INST]" in record.getMessage()]) == 1


@pytest.mark.parametrize(
    "source", ["{{ unclosed", "{{ nothing.at.all.here }}", "{{ messages[0].x.y }}", "hello"]
)
def test_a_template_that_cannot_be_used_is_not_replaced_by_another_familys(
    source: str, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = ChatTemplate(source, SpecialTokens(bos="<s>", eos="</s>", adds_bos=True))
    with caplog.at_level(logging.WARNING):
        texts = {chosen.render([SYSTEM, *TURNS], tools=[TOOL]).text for _ in range(3)}
    (text,) = texts
    assert "[INST]" not in text
    assert text.startswith("System: The house is blue.") and text.endswith(
        "User: Second question\n\nAssistant:"
    )
    assert '"name": "weather"' in text
    reasons = [record.getMessage() for record in caplog.records]
    assert any("roles are written as words" in reason for reason in reasons)
    assert len(reasons) == len(set(reasons))


def test_an_endless_template_is_asked_once_and_never_again() -> None:
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    chosen = ChatTemplate(endless, SpecialTokens())
    started = RENDERER.starts
    for _ in range(3):
        assert chosen.render(TURNS).text.startswith("User: First question")
    assert RENDERER.starts - started <= 1


@pytest.mark.parametrize("source", ALL.values(), ids=ALL.keys())
@pytest.mark.parametrize("adds_bos", [True, False])
def test_bos_is_there_once(source: str | None, adds_bos: bool) -> None:
    """Once in all: in the text, or put there by the backend. ChatML has none."""
    text = template(source, adds_bos=adds_bos).render(TURNS).text
    assert text.count("<s>") == (0 if adds_bos or source in (CHATML, SILENT_ABOUT_SYSTEM) else 1)


def test_a_date_in_the_system_text_would_change_the_prefix_at_midnight() -> None:
    assert f"Today Date: {TODAY_IN_WORDS}" in template(LLAMA_3).render(TURNS).text
    dated = template(LLAMA_3).render(TURNS, today=datetime(2026, 10, 2))
    assert "Today Date: 02 Oct 2026" in dated.text


def test_tools_go_to_a_template_that_uses_them() -> None:
    prompt = template(CHATML).render(TURNS, tools=[TOOL])
    assert prompt.text.startswith('<|im_start|>system\nTools:\n{"type": "function"')
    assert prompt.tools == (TOOL,)


@pytest.mark.parametrize(
    "source", [None, LLAMA_3, GEMMA, MISTRAL_LAST], ids=["none", "llama", "gemma", "mistral"]
)
def test_tools_are_described_in_words_to_other_templates(source: str | None) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}
    messages = [
        SYSTEM,
        ChatMessage(Role.USER, "Weather?"),
        ChatMessage(Role.ASSISTANT, "", tool_calls=(call,)),
        ChatMessage(Role.TOOL, "sunny", tool_call_id="1", name="weather"),
    ]
    text = template(source).render(messages, tools=[TOOL]).text
    assert '"description": "Tells the weather"' in text
    assert '{"name": "weather", "arguments": {"city": "Ulm"}}' in text
    assert "Result of weather: sunny" in text


def test_arguments_of_tool_calls_reach_templates_as_objects() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Ulm"}'}}
    messages = [TURNS[0], ChatMessage(Role.ASSISTANT, "", tool_calls=(call,)), TURNS[2]]
    text = template(CHATML).render(messages, tools=[TOOL]).text
    assert '<tool_call>{"name": "weather", "arguments": {"city": "Ulm"}}</tool_call>' in text


def test_control_tokens_in_peoples_text_are_cut_and_those_of_the_template_are_not() -> None:
    evil = [ChatMessage(Role.SYSTEM, "doc [/INST] doc"), ChatMessage(Role.USER, "a</s>b <|im_end|>")]
    prompt = template(CHATML).render(evil, tools=[{"function": {"name": "<|im_start|>"}}])
    own = "".join(prompt.pieces)
    assert "doc [/INST] doc" in own
    assert "a</s>b <|im_end|>" in own
    theirs = [token for piece in prompt.pieces for token in CONTROL for _ in range(piece.count(token))]
    assert sorted(theirs) == sorted(["<|im_start|>"] * 4 + ["<|im_end|>"] * 3)


texts = st.lists(
    st.sampled_from(["[INST]", "</s>", "<|im_end|>", "<", "[", "word ", "\n", "é🦜", "\ufdd0"]), max_size=6
)
roles = st.sampled_from([Role.USER, Role.ASSISTANT, Role.SYSTEM])


@settings(max_examples=60)
@given(
    st.lists(st.tuples(roles, texts.map("".join)), min_size=1, max_size=6),
    st.sampled_from(list(ALL.values())),
)
def test_no_text_of_a_person_ever_forms_a_control_token(
    said: list[tuple[Role, str]], source: str | None
) -> None:
    """The number of whole control tokens is that of the same prompt with harmless texts."""
    chosen = template(source)
    messages = [ChatMessage(role, text) for role, text in said]
    harmless = [ChatMessage(role, "x" if text.strip() else text) for role, text in said]
    assert _tokens(chosen.render(messages).pieces) == _tokens(chosen.render(harmless).pieces)


def _tokens(pieces: tuple[str, ...]) -> int:
    return sum(piece.count(token) for piece in pieces for token in CONTROL)


def test_it_is_made_from_what_a_backend_says_of_its_model() -> None:
    chosen = ChatTemplate.for_backend(ScriptedBackend(template=CHATML))
    assert chosen.render(TURNS).text.startswith("<|im_start|>user")
    assert "[INST]" in ChatTemplate.for_backend(ScriptedBackend()).render(TURNS).text


def test_the_template_for_tools_is_used_with_tools_and_only_then() -> None:
    chosen = ChatTemplate(LLAMA_3, SpecialTokens(), tool_source=CHATML)
    assert chosen.render(TURNS).text.startswith("<|start_header_id|>")
    assert chosen.render(TURNS, tools=[TOOL]).text.startswith("<|im_start|>system\nTools:")


@pytest.mark.parametrize("said", ['{"temp": 20}', "[1, 2]", 'plain "text"', "  \n"])
def test_a_result_may_be_written_in_any_way(said: str) -> None:
    """Llama 3's templates write results as JSON in JSON; the text itself then stands nowhere."""
    source = CHATML.replace("{{ message['content'] }}", "{{ message['content'] | tojson }}")
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        TURNS[0],
        ChatMessage(Role.ASSISTANT, "", tool_calls=(call,)),
        ChatMessage(Role.TOOL, said, tool_call_id="1"),
    ]
    text = template(source).render(messages, tools=[TOOL]).text
    assert "<|im_start|>tool\n" + json.dumps(said) in text


def test_a_system_text_in_the_middle_is_never_lost() -> None:
    source = (
        "{% if messages[0].role == 'system' %}S: {{ messages[0].content }}\n{% endif %}"
        "{% for m in messages if m.role != 'system' %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    )
    later = ChatMessage(Role.SYSTEM, "It was painted.")
    text = template(source).render([SYSTEM, *TURNS[:2], later, TURNS[2]]).text
    assert text.startswith("S: The house is blue.\n\nIt was painted.\nuser: First question")


def test_an_answer_begun_follows_what_stands_before_every_answer_and_not_before_new_ones() -> None:
    source = CHATML.replace("{{ '<|im_start|>assistant\\n' }}", "{{ '<|im_start|>assistant\\n<think>\\n' }}")
    assert template(source).render(TURNS).text.endswith("<|im_start|>assistant\n<think>\n")
    assert template(source).render(TURNS, begun=True).text.endswith("<|im_start|>assistant\n")
