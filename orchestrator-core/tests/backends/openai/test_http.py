import inspect

import pytest
import requests
import urllib3
from orchestrator_core.backends.openai_http import TRANSPORT_FAILURES, OpenAIClient
from orchestrator_core.errors import BackendTimeout, BackendUnreachable
from pydantic import SecretStr
from support.openai_server import HttpDouble

TIMEOUTS = {"ReadTimeout", "ReadTimeoutError"}
NOT_RAISED_AS_SUCH = {"RequestsWarning", "FileModeWarning", "RequestsDependencyWarning"}


def client(url: str = "http://127.0.0.1:9/v1", key: str | None = None) -> OpenAIClient:
    secret = SecretStr(key) if key is not None else None
    return OpenAIClient(url, secret, connect_timeout_s=1, read_timeout_s=2)


def raised_by_requests() -> list[type[Exception]]:
    found = [kind for _, kind in inspect.getmembers(requests.exceptions, inspect.isclass)]
    return [
        kind
        for kind in found
        if issubclass(kind, requests.RequestException) and kind.__name__ not in NOT_RAISED_AS_SUCH
    ]


@pytest.mark.parametrize("kind", raised_by_requests(), ids=lambda kind: kind.__name__)
def test_everything_requests_raises_is_caught_and_named(kind: type[Exception]) -> None:
    assert issubclass(kind, TRANSPORT_FAILURES)
    error = kind.__new__(kind)
    expected = BackendTimeout if kind.__name__ in TIMEOUTS else BackendUnreachable
    assert type(client().failure(error)) is expected


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (urllib3.exceptions.ReadTimeoutError(None, "", ""), "silent for 2 s"),  # type: ignore[arg-type]
        (urllib3.exceptions.ProtocolError("cut"), "broke the connection"),
        (ConnectionResetError(), "broke the connection"),
        (TimeoutError(), "silent for 2 s"),
        (requests.ConnectTimeout(), "did not accept a connection within 1 s"),
        (requests.exceptions.SSLError(), "certificate"),
    ],
)
def test_broken_connections_are_described(error: Exception, words: str) -> None:
    assert isinstance(error, TRANSPORT_FAILURES)
    assert words in client().failure(error).message


def test_the_key_is_removed_from_what_a_server_says() -> None:
    assert client(key="sk-1234").redact("no such key sk-1234!") == "no such key ***!"
    assert client().redact("nothing to hide") == "nothing to hide"


def test_a_proxy_of_the_environment_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    double = HttpDouble(lambda exchange: exchange.json({"data": []}))
    try:
        assert client(double.url).get(f"{double.url}/models") == {"data": []}
    finally:
        double.close()


def test_the_address_of_the_tokenise_routes_lies_beside_v1() -> None:
    assert client("http://127.0.0.1:9/prefix/v1/").root == "http://127.0.0.1:9/prefix"
