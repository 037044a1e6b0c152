"""How likely tokens were, and sampling held against it, with real models through the official client."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

import openai
import pytest
from gguf_random import preset_model
from llama_cpp import Llama
from orchestrator_core.backends.llama_cpp import LlamaCppBackend
from orchestrator_core.settings import Settings
from support.desktop import listening
from support.fetched import gemma
from support.openai_calls import HELLO, KEY

ASKED = {"model": "m", "temperature": 0, "max_tokens": 12, "seed": 1}
TEXT = "The capital of France is Paris. The capital of Italy is"


def client_of(data, path: str) -> Iterator[openai.OpenAI]:
    settings = Settings.model_validate({"data": data, "model": {"path": path, "context_length": 1024}})
    with (
        listening(data, LlamaCppBackend(settings), api_key=KEY) as server,
        openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    folder = tmp_path_factory.mktemp("small")
    yield from client_of(folder, str(preset_model(folder / "model.gguf", "tiny")))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    yield from client_of(tmp_path_factory.mktemp("real"), str(gemma()))


def test_each_token_of_a_chat_has_its_probability(client: openai.OpenAI) -> None:
    asked = {**ASKED, "messages": HELLO, "logprobs": True, "top_logprobs": 5}
    choice = client.chat.completions.create(**asked).choices[0]
    content = choice.logprobs.content
    assert (
        b"".join(bytes(each.bytes) for each in content).decode("utf-8", "replace") == choice.message.content
    )
    for each in content:
        assert len(each.top_logprobs) == 5
        likely = [top.logprob for top in each.top_logprobs]
        assert likely == sorted(likely, reverse=True)
        # Greedy: the likeliest was taken; and all are parts of one distribution.
        assert each.logprob == likely[0] and each.token == each.top_logprobs[0].token
        assert sum(map(math.exp, likely)) <= 1 + 1e-9
    streamed = [
        told
        for chunk in client.chat.completions.create(**asked, stream=True)
        if chunk.choices and chunk.choices[0].logprobs
        for told in chunk.choices[0].logprobs.content
    ]
    assert [(each.token, each.bytes) for each in streamed] == [(each.token, each.bytes) for each in content]


def test_without_the_likeliest_only_the_tokens_are_told_and_nothing_where_nobody_asks(
    client: openai.OpenAI,
) -> None:
    told = client.chat.completions.create(**ASKED, messages=HELLO, logprobs=True).choices[0].logprobs
    assert told.content and all(each.top_logprobs == [] for each in told.content)
    assert client.chat.completions.create(**ASKED, messages=HELLO).choices[0].logprobs is None


def test_a_continued_text_tells_them_in_the_older_form(client: openai.OpenAI) -> None:
    choice = client.completions.create(**ASKED, prompt="abc", logprobs=3).choices[0]
    told = choice.logprobs
    assert len(told.tokens) == len(told.token_logprobs) == len(told.text_offset) == len(told.top_logprobs)
    assert told.text_offset[:1] == [0] and told.text_offset == sorted(told.text_offset)
    assert all(value <= 0 for value in told.token_logprobs)


def test_the_best_of_several_is_the_likeliest(client: openai.OpenAI) -> None:
    asked = {**ASKED, "temperature": 1.5, "prompt": "abc", "logprobs": 0}

    def mean(choice) -> float:
        return sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    every = client.completions.create(**asked, n=4).choices
    (best,) = client.completions.create(**asked, best_of=4).choices
    assert mean(best) == pytest.approx(max(map(mean, every)))
    with pytest.raises(openai.BadRequestError, match="best_of"):
        client.completions.create(**asked, best_of=4, stream=True)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"logprobs": 3, "echo": True}, "echo"), ({"logprobs": 21}, "logprobs"), ({"logprobs": -1}, "logprobs")],
)
def test_what_cannot_be_told_is_refused_by_name(client: openai.OpenAI, fields: dict, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**ASKED, prompt="abc", **fields)
    assert caught.value.param == param


@pytest.mark.slow
def test_a_real_model_is_sure_of_what_it_knows(real: openai.OpenAI) -> None:
    choice = real.completions.create(**{**ASKED, "max_tokens": 1}, prompt=TEXT, logprobs=5).choices[0]
    assert choice.text == " Rome"
    assert choice.logprobs.token_logprobs[0] > math.log(0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("presence", "frequency"), [(0.0, 0.0), (2.0, 0.0), (0.0, 2.0), (1.0, 1.5), (-1.0, 0.0)]
)
def test_penalties_are_what_the_published_formula_makes_of_the_logits(
    real: openai.OpenAI, presence: float, frequency: float
) -> None:
    """Greedy: at each place the likeliest after the penalties for what the answer has already."""
    penalties = {"presence_penalty": presence, "frequency_penalty": frequency}
    asked = {**ASKED, "max_tokens": 40, "prompt": "one two one two one two one two", "logprobs": 20}
    told = real.completions.create(**asked, **penalties).choices[0].logprobs
    counts: Counter[str] = Counter()
    for token, top in zip(told.tokens, told.top_logprobs, strict=True):
        adjusted = {
            each: logprob - presence * (counts[each] > 0) - frequency * counts[each]
            for each, logprob in top.items()
        }
        assert adjusted[token] == pytest.approx(max(adjusted.values()), abs=1e-4)
        counts[token] += 1
    if frequency == 2.0:
        assert len(counts) > len(told.tokens) // 2


@pytest.mark.slow
def test_biases_move_the_choice_by_what_they_say(real: openai.OpenAI) -> None:
    (rome,) = Llama(str(gemma()), vocab_only=True, verbose=False).tokenize(b" Rome", add_bos=False)
    asked = {**ASKED, "max_tokens": 1, "prompt": TEXT, "logprobs": 2}
    top = real.completions.create(**asked).choices[0].logprobs.top_logprobs[0]
    (first, likely), (second, less) = sorted(top.items(), key=lambda item: -item[1])
    for bias, chosen in ((less - likely + 0.05, first), (less - likely - 0.05, second), (-100, second)):
        answer = real.completions.create(**asked, logit_bias={str(rome): bias}).choices[0]
        assert answer.logprobs.tokens == [chosen]
        # What is told is the model's own, whatever the sampling makes of it.
        assert answer.logprobs.top_logprobs[0] == pytest.approx(top, abs=1e-4)
