"""The `openai` backend against real HTTP servers that behave and misbehave."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from orchestrator_core.backends.base import FinishReason, Generation, Prompt, Usage
from orchestrator_core.backends.openai import DEFAULT_CONTEXT_LENGTH, OpenAIBackend
from orchestrator_core.backends.openai_tokens import estimate
from orchestrator_core.backends.script import Gate, Reply
from orchestrator_core.backends.scripted import ScriptedBackend, echo
from orchestrator_core.errors import (
    BackendError,
    BackendTimeout,
    BackendUnreachable,
    ConfigurationError,
    ContextLengthExceeded,
    ModelNotFound,
    OrchestratorError,
    Overloaded,
    Unsupported,
)
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.settings import Settings
from support.openai_server import Exchange, HttpDouble, ModelServer, text_chunk

CONFIG = GenerationConfig()
ASK = Prompt(("[INST] hi [/INST]",), (ChatMessage(Role.USER, "hi"),))
KEY = "sk-very-secret"
Answer = Callable[[Exchange], None]


def backend_for(url: str, **model: object) -> OpenAIBackend:
    fields = {"backend": "openai", "url": url, "read_timeout_s": 30, **model}
    return OpenAIBackend(Settings.model_validate({"model": fields}))


def said(generation: Generation) -> str:
    return "".join(token.text for token in generation)


@pytest.fixture
def serve() -> Iterator[Callable[..., HttpDouble]]:
    """Starts doubles that list one plain model and give chat completions to `answer`."""
    started: list[HttpDouble] = []

    def start(answer: Answer | None = None, *, models: object = None) -> HttpDouble:
        def route(exchange: Exchange) -> None:
            if exchange.path == "/v1/models":
                exchange.json(models or {"data": [{"id": "served"}]})
            elif answer is not None:
                answer(exchange)

        started.append(HttpDouble(route))
        return started[-1]

    yield start
    for double in started:
        double.close()


@pytest.fixture
def model_server() -> Iterator[Callable[..., ModelServer]]:
    started: list[ModelServer] = []

    def start(backend: ScriptedBackend, owned_by: str = "vllm") -> ModelServer:
        started.append(ModelServer(backend, owned_by))
        return started[-1]

    yield start
    for server in started:
        server.close()


# --- streams ---


@pytest.mark.parametrize("chunked", [True, False])
def test_a_stream_becomes_tokens_and_usage(serve: Callable[..., HttpDouble], chunked: bool) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    double = serve(
        lambda exchange: exchange.events(
            text_chunk("Hel"),
            text_chunk("lo"),
            text_chunk("", "stop"),
            {"choices": [], "usage": usage},
            chunked=chunked,
        )
    )
    generation = backend_for(double.url).generate(ASK, CONFIG)
    assert [token.text for token in generation] == ["Hel", "lo"]
    assert generation.usage == Usage(9, 2, 4)
    assert generation.finish_reason is FinishReason.STOP


def test_tokens_are_shown_when_they_arrive_not_when_the_answer_ends(serve: Callable[..., HttpDouble]) -> None:
    go_on = threading.Event()

    def answer(exchange: Exchange) -> None:
        exchange.begin()
        exchange.event(text_chunk("first"))
        assert go_on.wait(10)
        exchange.event(text_chunk("second", "stop"))
        exchange.end()

    tokens = iter(backend_for(serve(answer).url).generate(ASK, CONFIG))
    assert next(tokens).text == "first"
    go_on.set()
    assert next(tokens).text == "second"


def test_bytes_cut_inside_characters_and_events_change_nothing(serve: Callable[..., HttpDouble]) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin()
        stream = ': ping\r\n\r\ndata: {"choices":[{"delta":{"content":"漢字 🦜"},"finish_reason":"length"}]}\r\n\r\n'
        for byte in stream.encode():
            exchange.send(bytes([byte]))
        exchange.end()

    generation = backend_for(serve(answer).url).generate(ASK, CONFIG)
    assert said(generation) == "漢字 🦜"
    assert generation.finish_reason is FinishReason.LENGTH


def test_a_server_that_does_not_stream_is_understood(serve: Callable[..., HttpDouble]) -> None:
    whole = {"choices": [{"message": {"content": "all at once"}, "finish_reason": "stop"}]}
    assert said(backend_for(serve(lambda e: e.json(whole)).url).generate(ASK, CONFIG)) == "all at once"


def test_a_finished_answer_is_complete_even_if_the_connection_breaks_after_it(
    serve: Callable[..., HttpDouble],
) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin()
        exchange.event(text_chunk("done", "stop"))
        exchange.drop()

    generation = backend_for(serve(answer).url).generate(ASK, CONFIG)
    assert said(generation) == "done"
    assert generation.finish_reason is FinishReason.STOP


def test_more_stops_than_the_server_takes_are_cut_here(serve: Callable[..., HttpDouble]) -> None:
    double = serve(lambda e: e.events(text_chunk("ab E"), text_chunk("ND cd"), text_chunk("", "stop")))
    config = GenerationConfig(stop=["1", "2", "3", "4", "END"])
    generation = backend_for(double.url).generate(ASK, config)
    assert said(generation) == "ab "
    assert generation.finish_reason is FinishReason.STOP


# --- streams that fail ---


def cut(exchange: Exchange) -> None:
    exchange.begin()
    exchange.event(text_chunk("half"))
    exchange.drop()


def end_early(exchange: Exchange) -> None:
    exchange.events(text_chunk("half"), chunked=False, done=False)


def garbage(exchange: Exchange) -> None:
    exchange.events(text_chunk("half"), "}{ nonsense")


def wrong_types(exchange: Exchange) -> None:
    exchange.events(text_chunk("half"), {"choices": [{"delta": {"content": {"a": 1}}}]})


def error_object(exchange: Exchange) -> None:
    exchange.events(text_chunk("half"), {"error": {"message": f"CUDA died {KEY}", "code": 500}})


def finish_error(exchange: Exchange) -> None:
    exchange.events(text_chunk("half"), text_chunk("", "error"))


@pytest.mark.parametrize("answer", [cut, end_early, garbage, wrong_types, error_object, finish_error])
def test_an_answer_that_breaks_off_counts_as_unreachable_and_keeps_its_text(
    serve: Callable[..., HttpDouble], answer: Answer
) -> None:
    generation = backend_for(serve(answer).url, api_key=KEY).generate(ASK, CONFIG)
    tokens = iter(generation)
    assert next(tokens).text == "half"
    with pytest.raises(BackendUnreachable) as caught:
        next(tokens)
    assert generation.finish_reason is None
    assert KEY not in caught.value.message


@pytest.mark.parametrize("before", [[], [text_chunk("half")]])
def test_silence_is_a_timeout_also_between_chunks(
    serve: Callable[..., HttpDouble], before: list[Any]
) -> None:
    def stall(exchange: Exchange) -> None:
        exchange.begin()
        for payload in before:
            exchange.event(payload)
        exchange.wait_hung_up()

    generation = backend_for(serve(stall).url, read_timeout_s=0.2).generate(ASK, CONFIG)
    with pytest.raises(BackendTimeout, match=r"silent for 0\.2 s"):
        said(generation)


def test_an_error_before_any_text_keeps_its_meaning(serve: Callable[..., HttpDouble]) -> None:
    too_long = {"error": {"message": "maximum context length is 5", "code": 400}}
    generation = backend_for(serve(lambda e: e.events(too_long)).url).generate(ASK, CONFIG)
    with pytest.raises(ContextLengthExceeded):
        said(generation)


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (401, {}, BackendError),
        (404, {}, ModelNotFound),
        (429, {"Retry-After": "17"}, Overloaded),
        (500, {}, BackendUnreachable),
        (302, {"Location": "http://elsewhere.example/v1"}, BackendError),
    ],
)
def test_a_refusal_is_raised_by_generate(
    serve: Callable[..., HttpDouble], status: int, headers: dict[str, str], kind: type[OrchestratorError]
) -> None:
    body = {"error": {"message": f"bad key {KEY}"}}
    double = serve(lambda exchange: exchange.json(body, status, headers))
    with pytest.raises(kind) as caught:
        backend_for(double.url, api_key=KEY).generate(ASK, CONFIG)
    assert KEY not in f"{caught.value} {caught.value.hint}"
    if isinstance(caught.value, Overloaded):
        assert caught.value.retry_after_s == 17


def test_a_refusal_that_comes_late_is_raised_by_iterating(
    serve: Callable[..., HttpDouble], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_core.backends.openai.ANSWER_WAIT_S", 0.01)
    late = threading.Event()

    def answer(exchange: Exchange) -> None:
        assert late.wait(10)
        exchange.json({"error": "busy"}, 429)

    generation = backend_for(serve(answer).url).generate(ASK, CONFIG)
    late.set()
    with pytest.raises(Overloaded):
        said(generation)


def test_a_redirect_is_never_followed_with_the_key(serve: Callable[..., HttpDouble]) -> None:
    other = serve(lambda exchange: exchange.events(text_chunk("stolen", "stop")))
    double = serve(lambda exchange: exchange.json({}, 307, {"Location": f"{other.url}/chat/completions"}))
    with pytest.raises(BackendError, match="redirects elsewhere"):
        backend_for(double.url, api_key=KEY).generate(ASK, CONFIG)
    assert other.seen == []


# --- cancelling ---


def half_until(hung_up: threading.Event) -> Callable[[Exchange], None]:
    """Half an answer, then nothing until the caller hangs up."""

    def answer(exchange: Exchange) -> None:
        exchange.begin()
        exchange.event(text_chunk("half"))
        if exchange.wait_hung_up():
            hung_up.set()

    return answer


def test_cancel_hangs_up_while_the_server_is_silent(serve: Callable[..., HttpDouble]) -> None:
    hung_up = threading.Event()
    generation = backend_for(serve(half_until(hung_up)).url).generate(ASK, CONFIG)
    tokens = iter(generation)
    assert next(tokens).text == "half"
    threading.Timer(0.05, generation.cancel).start()
    assert list(tokens) == []
    assert generation.finish_reason is FinishReason.CANCELLED
    assert hung_up.wait(10)


def test_cancel_before_the_server_answered_ends_at_once(
    serve: Callable[..., HttpDouble], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator_core.backends.openai.ANSWER_WAIT_S", 0.01)
    release = threading.Event()
    double = serve(lambda exchange: (release.wait(10), exchange.events(text_chunk("late", "stop")))[0])
    generation = backend_for(double.url).generate(ASK, CONFIG)
    generation.cancel()
    assert said(generation) == ""
    assert generation.finish_reason is FinishReason.CANCELLED
    release.set()


def test_a_generation_nobody_keeps_hangs_up(serve: Callable[..., HttpDouble]) -> None:
    hung_up = threading.Event()
    backend = backend_for(serve(half_until(hung_up)).url)
    backend.generate(ASK, CONFIG)  # dropped without being read
    assert hung_up.wait(10)


def test_close_cancels_what_runs(serve: Callable[..., HttpDouble]) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin()
        exchange.wait_hung_up()

    backend = backend_for(serve(answer).url)
    generation = backend.generate(ASK, CONFIG)
    assert backend.stats().running == 1
    backend.close()
    backend.close()
    assert said(generation) == ""
    assert generation.finish_reason is FinishReason.CANCELLED
    assert (backend.stats().running, backend.stats().loaded) == (0, False)


def test_a_slow_reader_holds_the_server_back_and_gets_everything(serve: Callable[..., HttpDouble]) -> None:
    chunks = [text_chunk(f"{n} ") for n in range(2000)]
    double = serve(lambda exchange: exchange.events(*chunks, text_chunk("", "stop")))
    generation = backend_for(double.url).generate(ASK, CONFIG)
    assert said(generation).split() == [str(n) for n in range(2000)]


# --- finding out about the server ---


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


def test_nothing_listening_is_unreachable_and_is_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backend = backend_for(f"http://127.0.0.1:{port}/v1")
    for _ in range(2):
        with pytest.raises(BackendUnreachable, match="cannot be reached"):
            backend.load()
    assert not backend.stats().loaded


def test_a_server_that_talks_nonsense_is_named() -> None:
    double = HttpDouble(lambda exchange: exchange.json(b"<html>hello</html>"))
    try:
        with pytest.raises(
            BackendUnreachable, match="does not speak the OpenAI protocol: the answer is not JSON"
        ):
            backend_for(double.url).load()
    finally:
        double.close()


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


# --- the key ---


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


# --- counting ---


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


def test_counts_are_asked_for_once(model_server: Callable[..., ModelServer]) -> None:
    server = model_server(ScriptedBackend(echo))
    backend = backend_for(server.url)
    assert [backend.count_tokens("the same") for _ in range(5)] == [2] * 5
    assert len(server.requests("/tokenize")) == 1


def test_llama_server_tells_its_template(model_server: Callable[..., ModelServer]) -> None:
    assert backend_for(model_server(ScriptedBackend(), "llamacpp").url).chat_template() == "T"
    assert backend_for(model_server(ScriptedBackend(), "vllm").url).chat_template() is None


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


# --- going on, and the rest ---


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


def test_cancel_reaches_the_engine_behind_the_server(model_server: Callable[..., ModelServer]) -> None:
    gate = Gate()
    gate.allow(1)
    scripted = ScriptedBackend([Reply(text="one two", gate=gate)])
    generation = backend_for(model_server(scripted).url).generate(ASK, CONFIG)
    tokens = iter(generation)
    assert next(tokens).text == "one"
    assert gate.wait_blocked()
    assert scripted.stats().running == 1
    generation.cancel()
    assert list(tokens) == []
    for _ in range(200):
        if scripted.stats().running == 0:
            break
        threading.Event().wait(0.05)
    assert scripted.stats().running == 0


def test_embeddings_are_passed_through(serve: Callable[..., HttpDouble]) -> None:
    vectors = {"data": [{"embedding": [1, 0.5]}, {"embedding": [0, 1]}]}
    double = serve(lambda exchange: exchange.json(vectors))
    assert backend_for(double.url).embed(["a", "b"]) == [[1.0, 0.5], [0.0, 1.0]]
    assert double.requests("/v1/embeddings")[0].body == {"model": "served", "input": ["a", "b"]}


def test_embeddings_that_are_missing_or_wrong_say_so(serve: Callable[..., HttpDouble]) -> None:
    with pytest.raises(Unsupported):
        backend_for(serve(lambda exchange: exchange.json({}, 404)).url).embed(["a"])
    with pytest.raises(BackendUnreachable, match="no vectors"):
        backend_for(serve(lambda exchange: exchange.json({"data": [5]})).url).embed(["a"])
