from collections.abc import Callable

import pytest
from orchestrator_core.errors import BackendUnreachable, Unsupported
from support.openai_server import HttpDouble, backend_for


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
