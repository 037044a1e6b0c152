from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, UserMessage
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from orchestrator_core.backend import SpecialTokens
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.prompt.mistral import MistralForm, mistral_form
from orchestrator_core.prompt.template import ChatTemplate
from support.mistral_vocabulary import LlamaVocabulary, write_vocabulary

V3_TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ '[INST] ' + m['content'] + '[/INST]' }}{% endfor %}"
TEKKEN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '[INST]' + m['content'] + '[/INST]' }}{% endfor %}"
)
V7_TEMPLATE = "{{ bos_token }}[SYSTEM_PROMPT] {{ messages[0].content }}[/SYSTEM_PROMPT][INST] "

SAID = ["Hello there", "Hi, friend. How are you?", "What is up?", "Zürich, 日本, 🦜!", "1 + 1 = ?"]


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


SOURCES = {"v1": "tokenizer.model.v1", "v3": "mistral_instruct_tokenizer_240323.model.v3"}


@pytest.fixture(scope="module", params=[True, False], ids=["blank_added", "blank_not_added"])
def adds_blank(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module", params=["v1", "v3"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def vocabulary(
    tmp_path_factory: pytest.TempPathFactory, version: str, adds_blank: bool
) -> Iterator[LlamaVocabulary]:
    path = tmp_path_factory.mktemp("vocabulary") / f"{version}.gguf"
    vocabulary = LlamaVocabulary(write_vocabulary(SOURCES[version], path, add_space_prefix=adds_blank))
    yield vocabulary
    vocabulary.close()


def template_for(vocabulary: LlamaVocabulary, source: str | None) -> ChatTemplate:
    special = SpecialTokens(bos="<s>", eos="</s>", control=vocabulary.control(), adds_bos=True)
    return ChatTemplate(source, special, vocabulary.count)


@pytest.mark.parametrize("length", [1, 3, 5])
def test_token_ids_equal_those_of_mistrals_own_tokenizer(
    vocabulary: LlamaVocabulary, version: str, length: int
) -> None:
    messages = conversation(SAID[:length])
    for source in (None, V3_TEMPLATE):
        prompt = template_for(vocabulary, source).render(messages)
        assert vocabulary.tokens(prompt.pieces) == official_tokens(version, messages)


@pytest.mark.parametrize("version", ["v1"], indirect=True)
def test_with_system_text_v1_equals_mistrals_own_tokenizer(vocabulary: LlamaVocabulary, version: str) -> None:
    """Later versions officially put the system text before the last message; we do not."""
    messages = [ChatMessage(Role.SYSTEM, "Be brief."), *conversation(SAID[:3])]
    prompt = template_for(vocabulary, None).render(messages)
    assert vocabulary.tokens(prompt.pieces) == official_tokens(version, messages)


def test_tekken_equals_mistrals_own_tokenizer() -> None:
    tekken = MistralTokenizer.v3(is_tekken=True).instruct_tokenizer.tokenizer
    control = {"<s>": 1, "</s>": 2, "[INST]": 3, "[/INST]": 4}
    form = mistral_form(TEKKEN_TEMPLATE, frozenset(control), "</s>", len)
    messages = conversation(SAID)
    ids = [control["<s>"]]
    text = form.render(messages)
    while text:
        token = next((token for token in control if text.startswith(token)), None)
        if token is not None:
            ids.append(control[token])
            text = text.removeprefix(token)
            continue
        end = min(at for token in control if (at := text.find(token)) >= 0)
        ids += tekken.encode(text[:end], bos=False, eos=False)
        text = text[end:]
    request = ChatCompletionRequest(
        messages=[
            UserMessage(content=m.content) if m.role is Role.USER else AssistantMessage(content=m.content)
            for m in messages
        ]
    )
    assert ids == MistralTokenizer.v3(is_tekken=True).encode_chat_completion(request).tokens


def test_the_system_text_stands_before_the_first_user_message_so_the_prefix_stays() -> None:
    template = ChatTemplate(V3_TEMPLATE, SpecialTokens("<s>", "</s>", frozenset({"[INST]"})), len)
    system = ChatMessage(Role.SYSTEM, "The house is blue.")
    shorter = template.render([system, *conversation(SAID[:1])]).text
    longer = template.render([system, *conversation(SAID[:3])]).text
    assert longer.startswith(shorter)
    assert longer.index("The house is blue.") < longer.index("Hello there")
    assert longer.count("The house is blue.") == 1


def test_a_model_with_system_tokens_gets_its_system_text_between_them() -> None:
    control = frozenset({"[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"})
    form = mistral_form(V7_TEMPLATE, control, "</s>", len)
    text = form.render([ChatMessage(Role.SYSTEM, "Be brief."), *conversation(["Hi"])])
    assert text.startswith("[SYSTEM_PROMPT]")
    assert "Be brief.[/SYSTEM_PROMPT][INST]" in text


def test_the_fallback_is_the_documented_v1_form() -> None:
    text = MistralForm().render(conversation(["Hi", "Ho", "Ha"]))
    assert text == "[INST] Hi [/INST] Ho</s>[INST] Ha [/INST]"
