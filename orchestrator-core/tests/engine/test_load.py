from __future__ import annotations

import json

import pytest
from orchestrator_core.engine.load import (
    DEFAULT_CONTEXT,
    IDLE_STEPS_CPU,
    LoadSpec,
    advised_sampling,
    choose_cells,
    choose_context,
    choose_gpu_layers,
    choose_idle_steps,
    choose_threads,
)


@pytest.mark.parametrize(
    ("wanted", "trained", "window"),
    [
        (None, 2048, 2048),
        (None, 131072, DEFAULT_CONTEXT),
        (4096, 131072, 4096),
        (9999, 2048, 2048),
        (None, 0, DEFAULT_CONTEXT),
    ],
)
def test_the_window_is_what_was_asked_but_not_more_than_was_trained(
    wanted: int | None, trained: int, window: int
) -> None:
    assert choose_context(wanted, trained) == window


def test_cells_hold_at_least_one_window_and_otherwise_follow_the_setting() -> None:
    assert choose_cells(5000, 4096, 8, 1000) == 5000
    assert choose_cells(100, 4096, 8, 1000) == 4096


def test_by_default_cells_are_bounded_by_memory_but_never_below_a_window() -> None:
    assert choose_cells(None, 4096, 8, 1) == 8192
    assert choose_cells(None, 4096, 1, 1) == 4096
    assert choose_cells(None, 4096, 8, 10**12) == 4096


def test_without_a_gpu_unused_conversations_are_dropped_after_a_while() -> None:
    assert choose_idle_steps(None, 0) == IDLE_STEPS_CPU
    assert choose_idle_steps(None, -1) > 10**9
    assert choose_idle_steps(0, -1) == 0


@pytest.mark.parametrize(
    ("wanted", "device", "gpu_build", "layers", "reason"),
    [
        (None, "auto", False, 0, "no GPU support"),
        (None, "cuda", False, 0, "cuda was asked for"),
        (None, "auto", True, -1, "all layers"),
        (12, "auto", True, 12, "n_gpu_layers is 12"),
        (12, "cpu", True, 0, "model.device is cpu"),
    ],
)
def test_gpu_layers_come_with_the_reason(
    wanted: int | None, device: str, gpu_build: bool, layers: int, reason: str
) -> None:
    chosen, why = choose_gpu_layers(wanted, device, gpu_build)
    assert chosen == layers
    assert reason in why


def test_threads_follow_the_setting_else_the_machine() -> None:
    assert choose_threads(3) == 3
    assert choose_threads(None) >= 1


def test_the_order_to_load_survives_the_wire() -> None:
    spec = LoadSpec(model="m.gguf", adapter="a.gguf", gpu_layers=3)
    assert LoadSpec(**json.loads(json.dumps(spec.wire()))) == spec


def test_sampling_advised_by_the_file_gets_our_names() -> None:
    metadata = {"general.sampling.temp": "0.000000", "general.sampling.penalty_repeat": "1.1", "other": "x"}
    assert advised_sampling(metadata.get) == {"temperature": 0.0, "repetition_penalty": 1.1}


def test_advice_that_is_no_number_is_left_out() -> None:
    assert advised_sampling({"general.sampling.top_k": "many"}.get) == {}
