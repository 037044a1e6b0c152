"""Which address, model and window are used: from the settings, and from what the server tells."""

from collections.abc import Callable

import pytest
from orchestrator_core.backends.openai import DEFAULT_CONTEXT_LENGTH, OpenAIBackend
from orchestrator_core.errors import ConfigurationError, ModelNotFound
from orchestrator_core.settings import Settings
from support.generations import said
from support.openai_server import ASK, CONFIG, HttpDouble, ModelServer, backend_for, text_chunk
from support.scripted import ScriptedBackend


def test_the_first_listed_model_is_used_when_none_is_named(serve: Callable[..., HttpDouble]) -> None:
    double = serve(lambda e: e.events(text_chunk("x", "stop")), models={"data": [{"id": "a"}, {"id": "b"}]})
    backend = backend_for(double.url)
    said(backend.generate(ASK, CONFIG))
    assert double.requests("/v1/chat/completions")[0].body["model"] == "a"
    assert backend.describe().model == "a"


def test_a_named_model_is_asked_for_even_if_it_is_not_listed(
    serve: Callable[..., HttpDouble], caplog: pytest.LogCaptureFixture
) -> None:
    double = serve(lambda exchange: exchange.events(text_chunk("x", "stop")))
    said(backend_for(double.url, path="other").generate(ASK, CONFIG))
    assert double.requests("/v1/chat/completions")[0].body["model"] == "other"
    assert "does not list the model other" in caplog.text


@pytest.mark.parametrize("models", [{"data": []}, {"data": "x"}, [], {"data": [{"id": 5}]}])
def test_a_server_without_models_needs_a_name(serve: Callable[..., HttpDouble], models: object) -> None:
    double = HttpDouble(lambda exchange: exchange.json(models))
    try:
        with pytest.raises(ModelNotFound, match="lists no model"):
            backend_for(double.url).load()
    finally:
        double.close()


def test_a_server_without_a_models_route_works_with_a_name() -> None:
    double = HttpDouble(
        lambda e: e.json({}, 404) if e.path == "/v1/models" else e.events(text_chunk("x", "stop"))
    )
    try:
        assert said(backend_for(double.url, path="m").generate(ASK, CONFIG)) == "x"
    finally:
        double.close()


def test_the_window_comes_from_settings_then_server_then_a_stated_default(
    serve: Callable[..., HttpDouble],
) -> None:
    stating = serve(models={"data": [{"id": "m", "context_length": 1234}]})
    silent = serve()
    assert backend_for(stating.url, context_length=99).context_length == 99
    assert backend_for(stating.url).context_length == 1234
    backend = backend_for(silent.url)
    assert backend.context_length == DEFAULT_CONTEXT_LENGTH
    assert backend.describe().details["context_length_source"] == "assumed"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8080",
        "ftp://host/v1",
        "http://",
        "http://user:pw@host/v1",
        "http://host/v1?key=x",
        "http://[::1",
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        backend_for(url)
    assert "pw" not in f"{caught.value} {caught.value.hint}".replace("password", "")


def test_a_missing_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"needs model\.url"):
        OpenAIBackend(Settings.model_validate({"model": {"backend": "openai"}}))


def test_a_bare_host_means_v1(serve: Callable[..., HttpDouble]) -> None:
    double = serve()
    backend_for(f"http://127.0.0.1:{double.port}/").load()
    assert double.seen[0].path == "/v1/models"


def test_llama_server_tells_its_template(model_server: Callable[..., ModelServer]) -> None:
    assert backend_for(model_server(ScriptedBackend(), "llamacpp").url).chat_template() == "T"
    assert backend_for(model_server(ScriptedBackend(), "vllm").url).chat_template() is None
