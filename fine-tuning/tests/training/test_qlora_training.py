from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from fine_tuning.errors import BaseModelError, Interrupted, TrainingRefused
from fine_tuning.training import qlora_trainer
from fine_tuning.training.base_model import load_base, load_tokenizer
from fine_tuning.training.dialogues import read_dialogues
from fine_tuning.training.precision import ComputeDevice
from fine_tuning.training.qlora_training import smaller_batch, train
from fine_tuning.training.recipe import load_recipe
from fine_tuning.training.run_folder import COMPLETE, RunFolder
from safetensors.torch import load_file
from support.small_disk import fill, small_disk
from support.small_family import FAMILIES, save_family

LAUNCHER = Path(__file__).resolve().parents[2] / "train_mistral_qlora.py"
STEPS = 9
"""Of the recipe below: 24 examples, 8 to a step, three times."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """Makes a recipe for a small model and 24 examples; keywords change keys."""
    home = tmp_path_factory.mktemp("home")
    data = home / "examples.jsonl"
    rows = [{"instruction": f"what is {i}?", "output": f"the cat {i} " * (1 + i % 4)} for i in range(24)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    common = {
        "model": str(save_family(home / "model", "mistral")),
        "data_path": data,
        "batch_size": 4,
        "gradient_accumulation_steps": 2,
        "lora_r": 4,
        "lora_dropout": 0.1,
        "learning_rate": 1e-2,
        "max_seq_length": 128,
        "save_steps": 2,
        "logging_steps": 1,
        "threads": 1,
        "dtype": "fp32",
    }
    return lambda **changes: load_recipe(flags=common | changes)


@pytest.fixture(scope="module")
def uninterrupted(recipe, tmp_path_factory):
    return weights(train(recipe(), tmp_path_factory.mktemp("whole") / "run"))


def weights(folder):
    return load_file(folder / "adapter_model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def at_step(number, act):
    """A report that acts once, after that step."""
    return lambda progress: act() if progress.step == number else None


def crash():
    raise ConnectionError("the machine is gone")


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_a_run_leaves_an_adapter_its_recipe_its_measures_and_its_curve(recipe, tmp_path):
    seen = []
    folder = train(recipe(), tmp_path / "run", report=seen.append)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert [progress.step for progress in seen] == list(range(1, STEPS + 1))
    assert (metrics["steps"], metrics["examples"]) == (STEPS, 24)
    assert metrics["last_loss"] < seen[1].loss
    assert RunFolder(folder).metadata["status"] == "finished"
    assert RunFolder(folder).metadata["recipe"]["lora"]["r"] == 4
    assert (folder / "loss_curve.png").is_file()
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize(("stop", "kept"), [(crash, 4), (press_ctrl_c, 5)])
def test_an_interrupted_run_resumes_to_the_weights_of_an_uninterrupted_one(
    recipe, tmp_path, uninterrupted, stop, kept
):
    with pytest.raises((Interrupted, ConnectionError)):
        train(recipe(), tmp_path / "run", report=at_step(5, stop))
    assert RunFolder(tmp_path / "run").last_checkpoint().name == f"checkpoint-{kept}"
    assert not (tmp_path / "run" / "adapter_config.json").exists()
    train(recipe(), tmp_path / "run", resume=True)
    assert same(weights(tmp_path / "run"), uninterrupted)


def test_a_killed_command_resumes_to_the_same_weights(recipe, tmp_path, uninterrupted):
    run, values = tmp_path / "run", recipe()
    config = tmp_path / "recipe.yaml"
    config.write_text(json.dumps(values.model_dump(mode="json") | {"output_dir": str(run)}))
    command = [sys.executable, str(LAUNCHER), "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not list(run.glob(f"checkpoints/checkpoint-*/{COMPLETE}")) and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert not (run / "adapter_config.json").exists()
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "going on from checkpoint-" in done.stdout
    assert same(weights(run), uninterrupted)


def test_a_checkpoint_that_was_not_written_to_its_end_is_not_resumed(recipe, tmp_path):
    run = RunFolder(tmp_path / "run")
    for step, whole in ((2, True), (10, True), (11, False)):
        folder = run.checkpoints / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        if whole:
            (folder / COMPLETE).touch()
    assert run.last_checkpoint().name == "checkpoint-10"
    assert not (run.checkpoints / "checkpoint-11").exists()


def test_a_full_disk_stops_the_run_and_room_lets_it_go_on(recipe, tmp_path, uninterrupted):
    with small_disk(tmp_path / "disk", size_kib=4096) as disk:
        fillers = []
        with pytest.raises(Interrupted, match="Make room"):
            train(recipe(), disk / "run", report=at_step(3, lambda: fillers.append(fill(disk))))
        assert RunFolder(disk / "run").last_checkpoint().name == "checkpoint-2"
        fillers[0].unlink()
        train(recipe(), disk / "run", resume=True)
        assert same(weights(disk / "run"), uninterrupted)


def test_an_evaluation_between_steps_changes_nothing(recipe, tmp_path):
    # bitsandbytes repacks layers for a processor with AVX512-BF16 at the first pass without gradients.
    # No dropout: an evaluation draws from the random state that dropout draws from.
    values = recipe(lora_dropout=0.0)
    train(values, tmp_path / "without")
    train(values.model_copy(update={"eval_data_path": values.data_path}), tmp_path / "run")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "without"))
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["eval_loss"] > 0


def test_out_of_memory_halves_the_batch_keeps_the_step_and_says_so(recipe, tmp_path, monkeypatch):
    step = qlora_trainer.QloraTrainer.training_step

    def small_memory(trainer, model, inputs, *rest):
        if len(inputs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return step(trainer, model, inputs, *rest)

    monkeypatch.setattr(qlora_trainer.QloraTrainer, "training_step", small_memory)
    said = []
    train(recipe(), tmp_path / "run", say=said.append)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["batch_size"], metrics["steps"]) == (2, STEPS)
    assert any("CUDA out of memory" in text and "batches of 2, 4 to a step" in text for text in said)


def test_a_single_example_that_does_not_fit_is_refused_with_advice(recipe):
    with pytest.raises(TrainingRefused, match="max_seq_length"):
        smaller_batch(recipe(batch_size=1))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_trains_by_configuration_alone(recipe, tmp_path, family):
    model = save_family(tmp_path / "model", family)
    folder = train(recipe(model=str(model), max_steps=2), tmp_path / "run")
    assert any(tensor.abs().sum() > 0 for name, tensor in weights(folder).items() if "lora_B" in name)


@pytest.fixture
def trainer(recipe, tmp_path):
    def build(**changes):
        values = recipe(**changes)
        device = ComputeDevice("cpu")
        model, tokenizer = load_base(values.model, values, device), load_tokenizer(values.model, values)
        examples = read_dialogues(values.data_path)
        run = RunFolder(tmp_path / "run")
        return qlora_trainer.build_trainer(values, model, tokenizer, run, examples, [], device, [])

    return build


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_adapters_are_float32_whatever_is_computed_in(trainer, dtype):
    built = trainer(dtype=dtype)
    learnt = [parameter for parameter in built.model.parameters() if parameter.requires_grad]
    assert learnt
    assert {parameter.dtype for parameter in learnt} == {torch.float32}
    assert (built.args.fp16, built.args.bf16) == (dtype == "fp16", dtype == "bf16")


def test_float16_of_a_gpu_without_bfloat16_trains(recipe, tmp_path):
    folder = train(recipe(dtype="fp16", max_steps=2), tmp_path / "run")
    assert all(tensor.isfinite().all() for tensor in weights(folder).values())


def test_the_loss_on_a_cpu_is_that_of_trl(trainer):
    built = trainer(lora_dropout=0.0)
    batch = built.data_collator([built.train_dataset[i] for i in range(4)])
    with torch.no_grad():
        ours = built.compute_loss(built.model, dict(batch))
        theirs = super(qlora_trainer.QloraTrainer, built).compute_loss(built.model, dict(batch))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_only_the_answer_and_its_end_are_learnt(trainer):
    built = trainer()
    batch = built.data_collator([built.train_dataset[i] for i in range(4)])
    tokenizer = built.processing_class
    for number in range(4):
        kept = batch["labels"][number] != -100
        learnt = tokenizer.decode(batch["input_ids"][number][kept])
        assert learnt == " " + read_answer(number) + "</s>"


def read_answer(number):
    return f"the cat {number} " * (1 + number % 4)


def test_the_base_is_four_bit_and_double_quantised(trainer):
    layer = trainer().model.base_model.model.model.layers[0].self_attn.q_proj.base_layer
    assert layer.weight.quant_state.quant_type == "nf4"
    assert layer.weight.quant_state.nested


def test_a_folder_with_a_run_is_not_trained_over(recipe, tmp_path):
    run = tmp_path / "run"
    train(recipe(max_steps=1), run)
    before = weights(run)
    with pytest.raises(TrainingRefused, match="holds a run already"):
        train(recipe(max_steps=1), run)
    with pytest.raises(TrainingRefused, match="finished"):
        train(recipe(max_steps=1), run, resume=True)
    assert same(weights(run), before)


def test_a_run_is_not_resumed_with_other_examples_or_another_recipe(recipe, tmp_path):
    with pytest.raises(ConnectionError):
        train(recipe(), tmp_path / "run", report=at_step(3, crash))
    other = tmp_path / "other.jsonl"
    other.write_text('{"instruction": "what?", "output": "that"}\n')
    with pytest.raises(TrainingRefused, match="examples have changed"):
        train(recipe(data_path=other), tmp_path / "run", resume=True)
    with pytest.raises(TrainingRefused, match="learning_rate"):
        train(recipe(learning_rate=1e-3), tmp_path / "run", resume=True)
    with pytest.raises(TrainingRefused, match="holds no run"):
        train(recipe(), tmp_path / "nothing", resume=True)


def test_examples_that_are_too_long_are_left_out_and_counted(recipe, tmp_path):
    said = []
    train(recipe(max_seq_length=35, max_steps=1), tmp_path / "run", say=said.append)
    assert any("of 24 examples are longer than 35 tokens and left out: the " in text for text in said)
    with pytest.raises(TrainingRefused, match="max_seq_length"):
        train(recipe(max_seq_length=2), tmp_path / "none")


@pytest.mark.parametrize("content", ["", "[]", "{", '[{"instruction": "x"}]', "[1]"])
def test_a_malformed_dataset_is_refused_before_a_model_is_loaded(recipe, tmp_path, content):
    data = tmp_path / "data.json"
    data.write_text(content)
    with pytest.raises(TrainingRefused):
        train(recipe(data_path=data, model="/no/such/model"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["/no/such/model", "missing.gguf", "./here"])
def test_a_model_that_is_not_there_is_named(recipe, tmp_path, model):
    with pytest.raises(BaseModelError, match="no model"):
        train(recipe(model=model), tmp_path / "run")
