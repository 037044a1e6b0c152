"""Counting tokens, by the server or by estimate, and what follows from the counts."""

from collections.abc import Callable

import pytest
from orchestrator_core.backend import Prompt
from orchestrator_core.backends.openai_tokens import estimate
from orchestrator_core.errors import ContextLengthExceeded
from support.generations import said
from support.openai_server import ASK, CONFIG, HttpDouble, ModelServer, backend_for
from support.scripted import ScriptedBackend, echo


@pytest.mark.parametrize("owned_by", ["vllm", "llamacpp"])
def test_counts_are_the_servers_own_where_it_can_count(
    model_server: Callable[..., ModelServer], owned_by: str
) -> None:
    scripted = ScriptedBackend(echo)
    backend = backend_for(model_server(scripted, owned_by).url)
    text = "Hello wonderful_world 12345 漢字"
    assert backend.count_tokens(text) == scripted.count_tokens(text)
    assert backend.count_prompt(ASK) == scripted.count_prompt(ASK)
    assert backend.count_prompt(Prompt.raw("a b c")) == scripted.count_prompt(Prompt.raw("a b c"))
    assert backend.describe().exact_token_counts
    assert backend.context_length == 8192


def test_a_prompt_is_counted_once_by_the_server(model_server: Callable[..., ModelServer]) -> None:
    server = model_server(ScriptedBackend(echo))
    backend = backend_for(server.url)
    assert len({backend.count_prompt(ASK) for _ in range(5)}) == 1
    assert len(server.requests("/tokenize")) == 1


def test_without_a_tokenise_route_counts_are_estimates_on_the_safe_side(
    serve: Callable[..., HttpDouble],
) -> None:
    backend = backend_for(serve().url)
    backend.load()
    assert not backend.describe().exact_token_counts
    assert backend.count_tokens("") == 0
    assert backend.count_tokens("Hello world") == 4
    assert backend.count_prompt(ASK) > backend.count_tokens("hi")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("abcd efg", 3),
        ("a  b", 3),
        ("1234", 4),
        ("漢", 3),
        ("🦜", 4),
        ("{}\n", 3),
        ("  ", 2),
    ],
)
def test_the_estimate_follows_its_rule(text: str, tokens: int) -> None:
    assert estimate(text) == tokens


def test_a_prompt_known_not_to_fit_is_refused_without_asking(
    model_server: Callable[..., ModelServer],
) -> None:
    server = model_server(ScriptedBackend(echo, context_length=64))
    with pytest.raises(ContextLengthExceeded, match="window of 'served' holds 64"):
        backend_for(server.url).generate(Prompt.raw("a\n" * 50), CONFIG)
    assert server.requests("/v1/completions") == []


def test_the_answer_is_limited_to_what_the_window_leaves(model_server: Callable[..., ModelServer]) -> None:
    server = model_server(ScriptedBackend(["x " * 100], context_length=64))
    said(backend_for(server.url).generate(Prompt.raw("a\n" * 20), CONFIG))
    assert server.requests("/v1/completions")[0].body["max_tokens"] == 64 - 41
