from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orchestrator_core.backend import SpecialTokens
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.template import TODAY_IN_WORDS, ChatTemplate
from support.chat_templates import CHATML, GEMMA, LLAMA_3, MISTRAL_LAST, SILENT_ABOUT_SYSTEM
from support.scripted import ScriptedBackend
from support.scripted.script import words

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
    return ChatTemplate(source, special, lambda text: len(words(text)))


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


@pytest.mark.parametrize(
    "source", [None, "", "{{ unclosed", "{{ nothing.at.all.here }}", "{{ messages[0].x.y }}"]
)
def test_without_a_usable_template_mistrals_format_is_used_and_the_reason_logged_once(
    source: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = template(source)
        texts = {chosen.render(TURNS).text for _ in range(3)}
    assert len(texts) == 1
    assert next(iter(texts)).startswith("[INST]")
    reasons = [record.getMessage() for record in caplog.records]
    assert any("[INST]" in reason for reason in reasons)
    assert len(reasons) == len(set(reasons))


def test_an_endless_template_ends_in_the_fallback() -> None:
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    assert template(endless).render(TURNS).text.startswith("[INST]")


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
    assert chosen.kind == "model"
    assert chosen.render(TURNS).text.startswith("<|im_start|>user")
    assert ChatTemplate.for_backend(ScriptedBackend()).kind == "mistral"
    assert ChatTemplate.for_backend(ScriptedBackend(template=MISTRAL_LAST)).kind == "mistral"


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", [CHATML, LLAMA_3, GEMMA, MISTRAL_LAST], ids=["chatml", "llama", "gemma", "mistral"]
)
def test_the_text_equals_what_transformers_renders(source: str) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    today = datetime.now()
    conversation = [message.as_dict() for message in TURNS]
    (expected,), _ = render_jinja_template(
        conversations=[conversation],
        chat_template=source,
        add_generation_prompt=True,
        bos_token="<s>",
        eos_token="</s>",
        tools=[TOOL] if source == CHATML else None,
    )
    tools = [TOOL] if source == CHATML else []
    ours = template(source, adds_bos=False).render(TURNS, tools=tools, today=today).text
    assert ours == expected
