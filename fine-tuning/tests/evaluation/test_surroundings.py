"""The model must be trained on what the server really sends: these tests hold the two together."""

from __future__ import annotations

import re
from random import Random

import pytest
from fine_tuning.evaluation.contexts import OWNERS, server_question, server_system_text
from fine_tuning.evaluation.surroundings import (
    SERVER_INTRODUCTION,
    SERVER_SYSTEM_TEXT,
    starter_documents,
    system_text,
    time_line,
    with_documents,
)
from fine_tuning.tiny.chat_format import CHAT_TEMPLATE, answer, opening, prompt, question
from fine_tuning.tiny.tokenizer import BOS, CONTROL_TOKENS, EOS, encode, train_tokenizer
from orchestrator_core.backend import SpecialTokens
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.builder import DEFAULT_SYSTEM_PROMPT
from orchestrator_core.prompt.snapshot import INTRODUCTION, _framed
from orchestrator_core.prompt.template import ChatTemplate
from orchestrator_core.prompt.turns import question_text

STARTERS = starter_documents()
TOKENIZER = train_tokenizer([*STARTERS.values(), "hello a hello a"], 600)
SYSTEM, USER, ASSISTANT = Role.SYSTEM, Role.USER, Role.ASSISTANT


def rendered(*messages: ChatMessage) -> str:
    special = SpecialTokens(bos=BOS, eos=EOS, control=frozenset(CONTROL_TOKENS), adds_bos=False)
    template = ChatTemplate(CHAT_TEMPLATE, special, lambda text: len(encode(TOKENIZER, text)))
    return template.render(messages).text


def test_system_text_and_introduction_are_the_servers():
    assert SERVER_SYSTEM_TEXT == DEFAULT_SYSTEM_PROMPT
    assert SERVER_INTRODUCTION == INTRODUCTION


def test_the_time_line_is_the_servers():
    ours = re.sub(r"\d", "0", time_line(Random(1)))
    theirs = question_text("Why?", "2026-10-02T12:03:00Z").partition("\n")[0]
    shape = r"\[\w+day, 0000-00-00 00:00 UTC[+-]00:00\]"
    assert re.fullmatch(shape, ours)
    assert re.fullmatch(shape, re.sub(r"\d", "0", theirs))
    assert question_text("Why?", "2026-10-02T12:03:00Z") == f"{theirs}\n\nWhy?"


def test_documents_are_framed_as_the_server_frames_them():
    text = server_system_text(OWNERS[0])
    assert _framed("SESSION_LOG.md", "X").replace("X", "") != ""
    head, tail = _framed("SESSION_LOG.md", "X").split("X")
    assert head in text
    assert text.endswith(tail)


def test_a_single_question_is_rendered_by_the_server_as_in_training():
    assert rendered(ChatMessage(USER, "What is a seam?")) == prompt("What is a seam?")


def test_a_conversation_after_documents_is_rendered_by_the_server_as_in_training():
    system = server_system_text(OWNERS[0])
    text = rendered(
        ChatMessage(SYSTEM, system),
        ChatMessage(USER, server_question("What is a seam?", 1)),
        ChatMessage(ASSISTANT, "A visible point."),
        ChatMessage(USER, "And a run?"),
    )
    assert text == (
        opening(system)
        + question(server_question("What is a seam?", 1), after_system=True)
        + answer("A visible point.")
        + question("And a run?")
    )


@pytest.mark.parametrize("seed", range(40))
def test_invented_surroundings_stay_near_their_limit_and_hold_no_control_token(seed):
    random = Random(seed)
    text = with_documents(random, STARTERS, 800)
    assert len(text) < 800 + 700
    assert not any(token in text + system_text(random) for token in CONTROL_TOKENS)


def test_surroundings_follow_from_the_seed():
    assert with_documents(Random(7), STARTERS, 900) == with_documents(Random(7), STARTERS, 900)


def test_documents_for_evaluation_are_not_among_those_for_training():
    trained = "\n".join(with_documents(Random(seed), STARTERS, 5000) for seed in range(200))
    lines = [line for owner in OWNERS for line in server_system_text(owner).splitlines() if len(line) > 40]
    known = [line for line in lines if line in trained]
    assert known == [SERVER_SYSTEM_TEXT, SERVER_INTRODUCTION] * len(OWNERS)
