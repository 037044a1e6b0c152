"""Mistral's own form, token by token as Mistral's own tokenizer makes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from orchestrator_core.backend import SpecialTokens
from orchestrator_core.engine.tokenizer import Tokenizer
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.template import ChatTemplate
from support.chat_templates import MISTRAL_LAST
from support.mistral_vocabulary import opened_tokenizer, write_vocabulary

SAID = ["Hello there", "Hi, friend. How are you?", "What is up?", "Zürich, 日本, 🦜!", "1 + 1 = ?"]
SOURCES = {"v1": "tokenizer.model.v1", "v3": "mistral_instruct_tokenizer_240323.model.v3"}


def conversation(texts: list[str]) -> list[ChatMessage]:
    return [ChatMessage((Role.USER, Role.ASSISTANT)[i % 2], text) for i, text in enumerate(texts)]


def official_tokens(version: str, messages: list[ChatMessage]) -> list[int]:
    kinds: dict[Role, Any] = {
        Role.USER: UserMessage,
        Role.ASSISTANT: AssistantMessage,
        Role.SYSTEM: SystemMessage,
    }
    request = ChatCompletionRequest(messages=[kinds[m.role](content=m.content) for m in messages])
    tokenizer = getattr(MistralTokenizer, version)()
    return list(tokenizer.encode_chat_completion(request).tokens)


@pytest.fixture(scope="module", params=["v1", "v3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=[True, False], ids=["space_added", "space_not_added"])
def tokenizer(
    tmp_path_factory: pytest.TempPathFactory, version: str, request: pytest.FixtureRequest
) -> Iterator[Tokenizer]:
    path = tmp_path_factory.mktemp("vocabulary") / f"{version}.gguf"
    with opened_tokenizer(
        write_vocabulary(SOURCES[version], path, add_space_prefix=request.param)
    ) as tokenizer:
        yield tokenizer


@pytest.mark.parametrize("length", [1, 3, 5])
def test_without_a_template_the_tokens_are_those_of_mistrals_own_tokenizer(
    tokenizer: Tokenizer, version: str, length: int
) -> None:
    messages = conversation(SAID[:length])
    prompt = ChatTemplate(None, tokenizer.special()).render(messages)
    assert tokenizer.prompt(prompt.pieces) == official_tokens(version, messages)


@pytest.mark.parametrize("version", ["v3"], indirect=True)
@pytest.mark.parametrize("length", [1, 3, 5])
def test_with_mistrals_template_they_are_too(tokenizer: Tokenizer, version: str, length: int) -> None:
    messages = conversation(SAID[:length])
    prompt = ChatTemplate(MISTRAL_LAST, tokenizer.special()).render(messages)
    assert tokenizer.prompt(prompt.pieces) == official_tokens(version, messages)


@pytest.mark.parametrize("version", ["v1"], indirect=True)
def test_with_system_text_v1_equals_mistrals_own_tokenizer(tokenizer: Tokenizer, version: str) -> None:
    """Later versions officially put the system text before the last message; we do not."""
    messages = [ChatMessage(Role.SYSTEM, "Be brief."), *conversation(SAID[:3])]
    prompt = ChatTemplate(None, tokenizer.special()).render(messages)
    assert tokenizer.prompt(prompt.pieces) == official_tokens(version, messages)


@pytest.mark.parametrize("source", [None, MISTRAL_LAST], ids=["none", "mistral"])
def test_the_system_text_stands_before_the_first_user_message_so_the_prefix_stays(source: str | None) -> None:
    template = ChatTemplate(source, SpecialTokens("<s>", "</s>", frozenset({"[INST]"})))
    system = ChatMessage(Role.SYSTEM, "The house is blue.")
    shorter = template.render([system, *conversation(SAID[:1])]).text
    longer = template.render([system, *conversation(SAID[:3])]).text
    assert longer.startswith(shorter)
    assert longer.index("The house is blue.") < longer.index("Hello there")
    assert longer.count("The house is blue.") == 1
