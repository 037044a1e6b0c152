"""Sampling advised by the model's file: weaker than the owner, stronger than our own defaults."""

from __future__ import annotations

from pathlib import Path

import pytest
from orchestrator_core.assistant import open_assistant
from orchestrator_core.backends.switching import SwitchingBackend
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.generation import ChatSampling, GenerationConfig
from orchestrator_core.settings import Settings
from support.scripted import ScriptedBackend


def test_advice_fills_what_nobody_has_set() -> None:
    config = GenerationConfig(top_k=7).advised({"temperature": 0.0, "top_k": 1})
    assert (config.temperature, config.top_k, config.top_p) == (0.0, 7, 1.0)


@pytest.mark.parametrize("nonsense", [{"temperature": -4.0}, {"top_k": float("nan")}, {"unheard_of": 1.0}])
def test_nonsense_in_a_model_file_changes_nothing(nonsense: dict[str, float]) -> None:
    assert GenerationConfig().advised(nonsense) == GenerationConfig()


def test_neutral_sampling_is_the_models_own_distribution() -> None:
    neutral = GenerationConfig()
    assert (neutral.temperature, neutral.top_p, neutral.top_k, neutral.min_p) == (1.0, 1.0, 0, 0.0)
    assert (neutral.repetition_penalty, neutral.stop) == (1.0, [])
    assert neutral.wanted == {}
    assert GenerationConfig(top_p=1.0).wanted == {"top_p": 1.0}
    taste = {"temperature": 0.7, "top_p": 0.9, "top_k": 50, "repetition_penalty": 1.15}
    assert ChatSampling().wanted == taste


class Advising(ScriptedBackend):
    def suggested_sampling(self) -> dict[str, float]:
        return {"temperature": 0.0, "repetition_penalty": 1.0}


@pytest.mark.parametrize(
    ("owner", "request_fields", "expected"),
    [
        ({}, {}, (0.0, 1.0)),
        ({"temperature": 0.4}, {}, (0.4, 1.0)),
        ({"temperature": 0.4}, {"temperature": 0.9}, (0.9, 1.0)),
        ({}, {"repetition_penalty": 1.3}, (0.0, 1.3)),
    ],
)
def test_request_before_owner_before_model(
    tmp_path: Path, owner: dict[str, float], request_fields: dict[str, float], expected: tuple[float, float]
) -> None:
    backend = Advising(["Yes."])
    settings = Settings.model_validate({"data": tmp_path, "generation": owner})
    with open_assistant(settings, backend=backend) as assistant:
        assistant.ask(ChatRequest(message="Well?", **request_fields)).wait(20)
    used = backend.calls[0].config
    assert (used.temperature, used.repetition_penalty) == expected


def test_the_advice_of_a_model_that_came_after_the_start_counts(tmp_path: Path) -> None:
    backend = Advising(["Yes."])
    settings = Settings.model_validate({"data": tmp_path})
    with open_assistant(settings, backend=SwitchingBackend(lambda: backend)) as assistant:
        assistant.ask(ChatRequest(message="Well?")).wait(20)
    assert backend.calls[0].config.temperature == 0.0
