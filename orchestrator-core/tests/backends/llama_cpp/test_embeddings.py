from __future__ import annotations

import pytest
from orchestrator_core.errors import ContextLengthExceeded, InvalidRequest
from support.llama_backend import Make


def test_embeddings_are_of_length_one_and_equal_for_equal_texts(make: Make) -> None:
    backend = make("random")
    long = "a longer text that takes several chunks. " * 15
    one, two, three = backend.embed(["tide", long, "tide"])
    assert one == three != two
    assert sum(value * value for value in two) == pytest.approx(1.0)
    assert backend.embed([]) == []
    with pytest.raises(InvalidRequest, match="empty"):
        backend.embed([""])
    with pytest.raises(ContextLengthExceeded):
        backend.embed(["x " * 5000])
