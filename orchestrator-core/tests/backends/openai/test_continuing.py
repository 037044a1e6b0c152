"""Answers that go on behind a seam."""

from collections.abc import Callable

import pytest
from orchestrator_core.errors import BackendUnreachable
from orchestrator_core.generation import GenerationConfig
from support.generations import said
from support.openai_server import ASK, CONFIG, HttpDouble, ModelServer, backend_for, text_chunk
from support.scripted import ScriptedBackend
from support.scripted.script import Reply


@pytest.mark.parametrize("owned_by", ["vllm", "llamacpp", "orchestrator", "someone"])
def test_an_engine_lost_behind_the_server_is_continued_without_a_trace(
    model_server: Callable[..., ModelServer], owned_by: str
) -> None:
    reply = Reply(text="One two three four, five 🦜 six.", crash_after=(4,))
    backend = backend_for(model_server(ScriptedBackend([reply]), owned_by).url)
    shown = ""
    with pytest.raises(BackendUnreachable):
        for token in backend.generate(ASK, CONFIG):
            shown += token.text
    assert shown == "One two three four"
    assert shown + said(backend.generate(ASK, CONFIG, continue_from=shown)) == reply.text


def test_a_repeated_beginning_is_removed(serve: Callable[..., HttpDouble]) -> None:
    double = serve(lambda e: e.events(text_chunk("Once upon"), text_chunk(" a time"), text_chunk("", "stop")))
    assert said(backend_for(double.url).generate(ASK, CONFIG, continue_from="Once upon")) == " a time"


def test_a_stop_across_the_seam_is_cut(serve: Callable[..., HttpDouble]) -> None:
    double = serve(lambda exchange: exchange.events(text_chunk("D more"), text_chunk("", "stop")))
    config = GenerationConfig(stop=["END"])
    assert said(backend_for(double.url).generate(ASK, config, continue_from="the EN")) == ""
