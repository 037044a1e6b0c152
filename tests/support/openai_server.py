"""Real HTTP servers that speak (or break) the OpenAI protocol, for tests of the `openai` backend.

`HttpDouble` gives a test full control of each exchange, down to single bytes and a broken
connection. `ModelServer` puts any ChatBackend behind the routes of a known kind of server.
`backend_for` is the backend that asks them.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from orchestrator_core.backend import ChatBackend, FinishReason, Generation, Prompt
from orchestrator_core.backends.openai import OpenAIBackend
from orchestrator_core.errors import ContextLengthExceeded, OrchestratorError, Overloaded
from orchestrator_core.generation import GenerationConfig
from orchestrator_core.messages import ChatMessage, Role
from orchestrator_core.settings import Settings

CONFIG = GenerationConfig()
ASK = Prompt(("[INST] hi [/INST]",), (ChatMessage(Role.USER, "hi"),))
KEY = "sk-very-secret"


class Exchange:
    """One request, and the means to answer it well or badly."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler
        self._chunked = False
        self.method = handler.command
        self.path = handler.path
        self.headers = handler.headers
        self.raw = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        form = self.headers.get_content_maintype() == "multipart"
        self.body: Any = json.loads(self.raw) if self.raw and not form else None

    def json(self, content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._start(
            status, {"Content-Type": "application/json", "Content-Length": str(len(data)), **(headers or {})}
        )
        self._handler.wfile.write(data)

    def events(self, *payloads: Any, chunked: bool = True, done: bool = True) -> None:
        """A whole event stream; see `begin` and `event` for a stream in steps."""
        self.begin(chunked=chunked)
        for payload in payloads:
            self.event(payload)
        if done:
            self.event("[DONE]")
        self.end()

    def begin(self, *, chunked: bool = True) -> None:
        self._chunked = chunked
        framing = {"Transfer-Encoding": "chunked"} if chunked else {"Connection": "close"}
        self._start(200, {"Content-Type": "text/event-stream", **framing})

    def event(self, payload: Any) -> None:
        self.send(f"data: {payload if isinstance(payload, str) else json.dumps(payload)}\n\n".encode())

    def send(self, data: bytes) -> None:
        framed = b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data
        self._handler.wfile.write(framed)
        self._handler.wfile.flush()

    def end(self) -> None:
        if self._chunked:
            self._handler.wfile.write(b"0\r\n\r\n")
        else:
            self._handler.close_connection = True

    def drop(self) -> None:
        """Close the connection as it is."""
        self._handler.close_connection = True

    def wait_hung_up(self, timeout: float = 10.0) -> bool:
        """Whether the client closed the connection within the time."""
        try:
            self._handler.connection.settimeout(timeout)
            return self._handler.connection.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def stop_listening(self) -> None:
        """Ends a `wait_hung_up` in another thread; the connection serves nothing more."""
        self._handler.close_connection = True
        with contextlib.suppress(OSError):
            self._handler.connection.shutdown(socket.SHUT_RD)

    def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self._handler.send_response(status)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()


Answer = Callable[[Exchange], None]


class HttpDouble:
    """A server on a free loopback port; `answer` handles every request in its own thread."""

    def __init__(self, answer: Callable[[Exchange], None]) -> None:
        self.answer = answer
        self.seen: list[Exchange] = []
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                exchange = Exchange(self)
                double.seen.append(exchange)
                try:
                    double.answer(exchange)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = _handle

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        # A double that is told to hang must not keep the test from ending.
        self._server.block_on_close = False
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def requests(self, path: str) -> list[Exchange]:
        return [exchange for exchange in self.seen if exchange.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class ModelServer(HttpDouble):
    """A backend behind HTTP, in the manner of one kind of server.

    Args:
        backend: answers; its tokens become chunks.
        owned_by: `vllm`, `llamacpp`, `orchestrator`, or anything else for a plain server.
    """

    def __init__(self, backend: ChatBackend, owned_by: str = "vllm") -> None:
        self.backend = backend
        self.owned_by = owned_by
        super().__init__(self._route)

    def _route(self, exchange: Exchange) -> None:
        routes = {
            "/v1/models": self._models,
            "/v1/chat/completions": self._complete,
            "/v1/completions": self._complete,
            "/tokenize": self._tokenize,
            "/apply-template": lambda exchange: exchange.json(
                {"prompt": rendered(exchange.body["messages"])}
            ),
            "/props": lambda exchange: exchange.json(
                {"default_generation_settings": {"n_ctx": self.backend.context_length}, "chat_template": "T"}
            ),
        }
        own = {"vllm": ("/tokenize",), "llamacpp": ("/tokenize", "/apply-template", "/props")}
        handler = routes.get(exchange.path)
        if handler is None or not (
            exchange.path.startswith("/v1/") or exchange.path in own.get(self.owned_by, ())
        ):
            exchange.json({"error": {"message": "no such route"}}, 404)
            return
        handler(exchange)

    def _models(self, exchange: Exchange) -> None:
        entry: dict[str, Any] = {"id": "served", "object": "model", "owned_by": self.owned_by}
        if self.owned_by in ("vllm", "orchestrator"):
            entry["max_model_len"] = self.backend.context_length
        exchange.json({"object": "list", "data": [entry]})

    def _tokenize(self, exchange: Exchange) -> None:
        body = exchange.body
        if "content" in body:
            count = self.backend.count_tokens(body["content"]) + bool(body["add_special"])
            exchange.json({"tokens": list(range(count))})
        elif "messages" in body:
            exchange.json({"count": self.backend.count_prompt(Prompt.raw(rendered(body["messages"])))})
        else:
            count = self.backend.count_tokens(body["prompt"]) + bool(body["add_special_tokens"])
            exchange.json({"count": count})

    def _complete(self, exchange: Exchange) -> None:
        try:
            generation = self._start_generation(exchange.body)
        except OrchestratorError as error:
            exchange.json(
                {"error": {"message": error.message, "type": error.type, "code": error.code}},
                *_refusal(error),
            )
            return
        watcher = threading.Thread(target=_cancel_when_left, args=(exchange, generation), daemon=True)
        watcher.start()
        try:
            _stream(exchange, generation)
        except OrchestratorError:
            exchange.drop()
        finally:
            exchange.stop_listening()
            watcher.join(10)

    def _start_generation(self, body: dict[str, Any]) -> Generation:
        config = GenerationConfig.model_validate(
            {
                "max_new_tokens": body.get("max_tokens"),
                "temperature": body.get("temperature", 1.0),
                "top_p": body.get("top_p", 1.0),
                "stop": body.get("stop", []),
                "seed": body.get("seed"),
                "top_k": max(0, body.get("top_k", 0)),
            }
        )
        if "messages" not in body:
            return self.backend.generate(Prompt.raw(body["prompt"]), config)
        *said, last = body["messages"]
        if last["role"] != "assistant":
            said, last = body["messages"], {"content": ""}
        messages = tuple(ChatMessage(Role(message["role"]), message["content"]) for message in said)
        prompt = Prompt((rendered(said),), messages)
        return self.backend.generate(prompt, config, continue_from=last["content"])


def _stream(exchange: Exchange, generation: Generation) -> None:
    exchange.begin()
    for token in generation:
        exchange.event(_chunk(exchange.path, token.text, None))
    if generation.finish_reason is FinishReason.CANCELLED:
        return
    exchange.event(_chunk(exchange.path, "", str(generation.finish_reason)))
    if exchange.body.get("stream_options", {}).get("include_usage"):
        exchange.event({"choices": [], "usage": _usage(generation)})
    exchange.event("[DONE]")
    exchange.end()


def backend_for(url: str, **model: object) -> OpenAIBackend:
    fields = {"backend": "openai", "url": url, "read_timeout_s": 30, **model}
    return OpenAIBackend(Settings.model_validate({"model": fields}))


def rendered(messages: list[dict[str, Any]]) -> str:
    """The template of the doubles."""
    return "".join(
        f"{message['content']}</s>"
        if message["role"] == "assistant"
        else f"[INST] {message['content']} [/INST]"
        for message in messages
    )


def text_chunk(text: str, finish: str | None = None) -> dict[str, Any]:
    """A chunk of a chat completion."""
    return _chunk("/v1/chat/completions", text, finish)


def _chunk(path: str, text: str, finish: str | None) -> dict[str, Any]:
    content = {"delta": {"content": text}} if "chat" in path else {"text": text}
    return {"choices": [{"index": 0, **content, "finish_reason": finish}]}


def _usage(generation: Generation) -> dict[str, Any]:
    return {
        "prompt_tokens": generation.usage.prompt_tokens,
        "completion_tokens": generation.usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": generation.usage.cached_tokens},
    }


def _refusal(error: OrchestratorError) -> tuple[int, dict[str, str]]:
    if isinstance(error, Overloaded):
        return 429, {"Retry-After": str(error.retry_after_s)}
    return (400 if isinstance(error, ContextLengthExceeded) else 500), {}


def _cancel_when_left(exchange: Exchange, generation: Generation) -> None:
    if exchange.wait_hung_up(60):
        generation.cancel()
