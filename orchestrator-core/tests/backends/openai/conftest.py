from collections.abc import Callable, Iterator

import pytest
from support.openai_server import Answer, Exchange, HttpDouble, ModelServer
from support.scripted import ScriptedBackend


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
