"""Several answers at once: places, waiting, memory that runs out."""

import threading
from pathlib import Path

import pytest
from orchestrator_core.backend import FinishReason
from orchestrator_core.errors import BackendError, Overloaded
from support.generations import said
from support.tiny_hf_backend import ASK, GREEDY, answer, backend_of

pytestmark = pytest.mark.slow


def test_more_answers_than_places_wait_or_are_refused(folder: Path) -> None:
    backend = backend_of(folder, engine={"max_sequences": 1, "max_queue": 1})
    first, second = backend.generate(ASK, GREEDY), backend.generate(ASK, GREEDY)
    with pytest.raises(Overloaded):
        backend.generate(ASK, GREEDY)
    tokens = iter(first)
    next(tokens)
    shown: list[str] = []
    waiting = threading.Thread(target=lambda: shown.append(said(second)))
    waiting.start()
    assert (backend.stats().running, backend.stats().waiting) == (1, 1)
    rest = said(first)
    waiting.join(30)
    assert rest
    assert shown == [answer(backend)]
    assert (backend.stats().running, backend.stats().waiting) == (0, 0)


def test_a_waiting_answer_can_be_cancelled_and_a_dropped_one_frees_its_place(folder: Path) -> None:
    backend = backend_of(folder, engine={"max_sequences": 1, "max_queue": 1})
    tokens = iter(backend.generate(ASK, GREEDY))
    next(tokens)
    second = backend.generate(ASK, GREEDY)
    second.cancel()
    assert said(second) == ""
    assert second.finish_reason is FinishReason.CANCELLED
    third = backend.generate(ASK, GREEDY)
    del third
    assert backend.generate(ASK, GREEDY) is not None


def test_running_out_of_memory_is_said_and_the_next_answer_works(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator_core.backends.transformers_model import torch

    backend = backend_of(folder)
    text = answer(backend)
    model = backend._loaded.weights._model  # type: ignore[union-attr]

    def no_memory(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    with monkeypatch.context() as patch:
        patch.setattr(type(model), "forward", no_memory)
        generation = backend.generate(ASK, GREEDY)
        with pytest.raises(BackendError, match="ran out of memory while answering") as caught:
            said(generation)
    assert caught.value.code == "out_of_memory"
    assert "load_in_bits 4" in str(caught.value.hint)
    assert answer(backend) == text
    assert backend.stats().running == 0
