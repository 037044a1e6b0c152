from __future__ import annotations

import json
from pathlib import Path

import peft
import pytest
import torch
from click.testing import CliRunner
from fine_tuning.errors import BaseModelError
from fine_tuning.quiet_libraries import without_deprecations
from fine_tuning.training.base_model import load_base
from fine_tuning.training.cli import main
from fine_tuning.training.memory_estimate import MemoryEstimate, estimate_memory
from fine_tuning.training.memory_report import GIB, REFERENCE, fits, memory_report
from fine_tuning.training.precision import ComputeDevice
from fine_tuning.training.qlora_trainer import lora_config, loss_of_answers
from fine_tuning.training.recipe import TrainingRecipe, load_recipe
from support.small_family import save_family

MISTRAL_7B = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32768,
    "max_position_embeddings": 32768,
    "sliding_window": None,
    "tie_word_embeddings": False,
}
ROWS, LENGTH, ANSWER = 2, 256, 100
pytestmark = pytest.mark.slow


def recipe(model: Path, **keys: object) -> TrainingRecipe:
    return load_recipe(flags={"model": str(model), **keys})


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shape of Mistral 7B v0.3, without a weight."""
    folder = tmp_path_factory.mktemp("mistral")
    (folder / "config.json").write_text(json.dumps(MISTRAL_7B))
    return folder


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("checkpointing", [True, False])
def test_a_step_takes_what_was_estimated(tmp_path: Path, quantization: str, checkpointing: bool) -> None:
    """The measure is torch's own record of every allocation, of a step with real weights."""
    shape = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "head_dim": 64}
    model = save_family(tmp_path / "model", "llama", **shape)
    asked = recipe(
        model,
        lora_r=16,
        lora_dropout=0.0,
        batch_size=ROWS,
        quantization=quantization,
        gradient_checkpointing=checkpointing,
        dtype="fp32",
    )
    estimate = estimate_memory(asked, str(model), ComputeDevice("cpu"), LENGTH, ANSWER)
    base = load_base(str(model), asked, ComputeDevice("cpu"))
    weights = sum(parameter.nbytes for parameter in base.parameters())
    assert estimate.weights == pytest.approx(weights, rel=0.1)
    with without_deprecations():
        real = peft.get_peft_model(base, lora_config(asked))
        measured = _most_allocated(real, checkpointing)
    assert estimate.adapters == sum(each.nbytes for each in real.parameters() if each.requires_grad)
    assert measured * 0.95 <= estimate.step <= measured * 1.2


def _most_allocated(model: torch.nn.Module, checkpointing: bool) -> int:
    if checkpointing:
        options = {"use_reentrant": False, "preserve_rng_state": False}
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=options)
        model.enable_input_require_grads()
    model.train()
    tokens, kept = torch.zeros(ROWS, LENGTH, dtype=torch.long), torch.arange(ANSWER)
    labels = torch.zeros(ROWS, ANSWER, dtype=torch.long)
    # The first step makes the gradients, which stay.
    loss_of_answers(model, tokens, torch.ones_like(tokens), kept, labels).backward()
    with torch.profiler.profile(
        profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]
    ) as profile:
        loss_of_answers(model, tokens, torch.ones_like(tokens), kept, labels).backward()
    live = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            live += event.nbytes()
            most = max(most, live)
    return most


def test_mistral_7b_trains_on_eight_gigabytes_with_one_example_at_a_time(mistral: Path) -> None:
    asked = recipe(mistral, batch_size=1, gradient_accumulation_steps=16)
    estimate = estimate_memory(asked, str(mistral), REFERENCE, 2048)
    linear = 6_979_321_856  # of 7,248,023,552; the rest are embeddings, the output matrix and norms
    rest = 2 * (7_248_023_552 - linear)
    assert estimate.weights == pytest.approx(linear * (0.5 + 1 / 64 + 4 / 64 / 256) + rest, rel=0.001)
    assert estimate.adapters == 4 * 167_772_160  # peft's own count for r = 64 on all linear layers
    assert fits(estimate, REFERENCE)


def test_a_longer_example_and_a_larger_batch_take_more(tmp_path: Path) -> None:
    model = save_family(tmp_path / "model", "mistral")
    steps = [
        estimate_memory(recipe(model, batch_size=rows), str(model), REFERENCE, length, 64).step
        for rows, length in ((1, 128), (1, 256), (2, 256))
    ]
    assert steps == sorted(set(steps))


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        estimate_memory(recipe(tmp_path), str(tmp_path), REFERENCE, 64)


def test_the_report_names_flags_that_fit(tmp_path: Path) -> None:
    def by_tokens(asked: TrainingRecipe) -> MemoryEstimate:
        return MemoryEstimate(4 * GIB, 0, 0, 0, GIB * asked.batch_size * asked.max_seq_length // 1024)

    lines = memory_report(recipe(tmp_path, batch_size=4), REFERENCE, by_tokens)
    assert "fp16" in lines[0] and "8.0 GiB" in lines[0]
    assert lines[-1].startswith("It does not fit. With --batch_size 1 --gradient_accumulation_steps 16")
    assert memory_report(recipe(tmp_path, batch_size=1), REFERENCE, by_tokens)[-1] == "It fits."
    small = ComputeDevice("cuda", (7, 5), memory=2 * GIB)
    assert "nor does a smaller batch" in memory_report(recipe(tmp_path), small, by_tokens)[-1]


def test_the_command_estimates_and_starts_nothing(tmp_path: Path) -> None:
    model = save_family(tmp_path / "model", "mistral")
    (model / "model.safetensors").unlink()
    command = ["--model", str(model), "--output_dir", str(tmp_path / "run"), "--estimate"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    assert "It fits." in result.output
    assert not (tmp_path / "run").exists()
    missing = CliRunner().invoke(main, ["--model", str(tmp_path / "none"), "--estimate"])
    assert missing.exit_code == 1 and "There is no model" in missing.output
