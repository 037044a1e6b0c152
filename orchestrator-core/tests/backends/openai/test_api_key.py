"""The key goes to the server it is meant for, and nowhere else."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from orchestrator_core.errors import BackendError
from support.generations import said
from support.openai_server import ASK, CONFIG, KEY, HttpDouble, backend_for, text_chunk


def test_a_redirect_is_never_followed_with_the_key(serve: Callable[..., HttpDouble]) -> None:
    other = serve(lambda exchange: exchange.events(text_chunk("stolen", "stop")))
    double = serve(lambda exchange: exchange.json({}, 307, {"Location": f"{other.url}/chat/completions"}))
    with pytest.raises(BackendError, match="redirects elsewhere"):
        backend_for(double.url, api_key=KEY).generate(ASK, CONFIG)
    assert other.seen == []


def test_the_key_is_sent_and_appears_nowhere_else(
    serve: Callable[..., HttpDouble],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password wrong")
    monkeypatch.setenv("NETRC", str(netrc))
    double = serve(lambda exchange: exchange.events(text_chunk("x", "stop")))
    backend = backend_for(double.url, api_key=KEY)
    with caplog.at_level(logging.DEBUG):
        said(backend.generate(ASK, CONFIG))
    assert {exchange.headers["Authorization"] for exchange in double.seen} == {f"Bearer {KEY}"}
    assert KEY not in caplog.text + repr(backend) + repr(vars(backend)) + repr(backend.describe())


def test_without_a_key_none_is_sent(serve: Callable[..., HttpDouble]) -> None:
    double = serve(lambda exchange: exchange.events(text_chunk("x", "stop")))
    said(backend_for(double.url).generate(ASK, CONFIG))
    assert all("Authorization" not in exchange.headers for exchange in double.seen)


def test_a_key_over_plain_http_to_another_machine_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    backend_for("http://models.example/v1", api_key=KEY)
    assert "travels unencrypted to models.example" in caplog.text
