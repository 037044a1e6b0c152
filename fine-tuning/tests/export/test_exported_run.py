from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys

import gguf
import numpy as np
import pytest
from click.testing import CliRunner
from fine_tuning.errors import BaseModelError, ExportFailed
from fine_tuning.export.adapter_merge import merge
from fine_tuning.export.cli import main
from fine_tuning.export.divergence import EXACT, FolderScorer, GgufScorer, compare
from fine_tuning.export.exported_run import export
from fine_tuning.export.gguf_conversion import lora_gguf, model_gguf, quantised
from fine_tuning.training.dialogues import read_dialogues
from fine_tuning.training.qlora_training import train
from fine_tuning.training.recipe import load_recipe
from fine_tuning.training.run_folder import RunFolder
from safetensors.torch import load_file, save_file
from support.fetched import llama_source
from support.small_disk import fill, small_disk
from support.small_family import save_exportable

pytestmark = pytest.mark.slow
WILD = {"initializer_range": 0.3}
"""Weights large enough that every change of the model shows."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A trained adapter in `run`, its base in `base`, held-out examples in `val.jsonl`."""
    llama_source()
    home = tmp_path_factory.mktemp("export")
    rows = [{"instruction": f"what is {i}?", "output": "the cat sat " * (1 + i % 3)} for i in range(12)]
    for name, some in (("train", rows[:8]), ("val", rows[8:])):
        (home / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    flags = {
        "model": str(save_exportable(home / "base", **WILD)),
        "data_path": home / "train.jsonl",
        "batch_size": 4,
        "gradient_accumulation_steps": 1,
        "lora_r": 4,
        "learning_rate": 2e-2,
        "threads": 1,
    }
    train(load_recipe(flags=flags), home / "run")
    return home


@pytest.fixture(scope="module")
def base_gguf(home):
    return model_gguf(home / "base", home / "base-f16.gguf")


@pytest.fixture(scope="module")
def exported(home, base_gguf):
    val = read_dialogues(home / "val.jsonl")
    return export(home / "run", home / "out", val, base_gguf=base_gguf, kinds=["Q8_0"], threads=1)


@pytest.fixture(scope="module")
def measured(home):
    """Compares a GGUF with the trained model."""
    reference = FolderScorer(home / "base", home / "run")

    def measure(path, adapter=None):
        model = GgufScorer(path, adapter, window=128)
        try:
            return compare(reference, model, read_dialogues(home / "val.jsonl"))
        finally:
            model.close()

    return measure


def test_both_forms_say_what_the_trained_model_says(exported):
    beside, whole, few_bits = exported.steps
    assert (beside.fault, whole.fault) == (None, None)
    # Quantising costs a random model more than a real one: its figure is measured here, not judged.
    assert whole.divergence.kl < few_bits.divergence.kl < 0.05
    assert [file.name for file in exported.merged] == ["run-f16.gguf", "run-Q8_0.gguf"]
    assert exported.adapter.stat().st_size < exported.merged[0].stat().st_size


def test_the_adapter_changes_what_the_base_says(measured, base_gguf):
    assert measured(base_gguf).kl > EXACT.kl


def test_what_was_compared_stands_beside_the_files(exported):
    rows = json.loads((exported.adapter.parent / "parity.json").read_text())
    assert list(rows) == ["base + adapter", "run-f16.gguf", "run-Q8_0.gguf"]
    assert rows["run-f16.gguf"]["passed"]
    assert all(row["tokens"] > 0 for row in rows.values())
    assert not list(exported.adapter.parent.glob(".*"))


@pytest.fixture
def merged(home, tmp_path):
    return merge(home / "base", home / "run", tmp_path / "merged")


def change_json(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def wrong_template(folder):
    (folder / "chat_template.jinja").write_text("{% for m in messages %}### {{ m.content }}\n{% endfor %}")


def wrong_rope_base(folder):
    change_json(folder / "config.json", rope_parameters={"rope_type": "default", "rope_theta": 500.0})


def permuted_heads(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = "model.layers.0.self_attn.q_proj.weight"
    weights[name] = weights[name].view(4, 16, -1).flip(0).reshape(64, -1).contiguous()
    save_file(weights, path, metadata={"format": "pt"})


def swapped_tokenizer(folder):
    from sentencepiece import sentencepiece_model_pb2

    path = folder / "tokenizer.model"
    model = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
    pieces = [piece for piece in model.pieces if piece.type == 1]
    texts = [piece.piece for piece in pieces]
    for piece, text in zip(pieces, texts[1:] + texts[:1], strict=True):
        piece.piece = text
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("damage", [wrong_template, wrong_rope_base, permuted_heads, swapped_tokenizer])
def test_a_wrong_export_fails(merged, tmp_path, measured, damage):
    damage(merged)
    assert not measured(model_gguf(merged, tmp_path / "wrong.gguf")).within(EXACT)


def test_the_adapter_beside_another_base_fails(home, tmp_path, measured, exported):
    other = model_gguf(save_exportable(tmp_path / "other", seed=7, **WILD), tmp_path / "other.gguf")
    assert not measured(other, exported.adapter).within(EXACT)


@pytest.mark.parametrize("kind", ["Q4_K_M", "Q5_K_M", "Q3_K_M", "Q4_0"])
def test_every_quantisation_is_written_and_read(exported, tmp_path, kind):
    path = quantised(exported.merged[0], tmp_path / "few.gguf", kind, 1)
    kinds = {tensor.tensor_type for tensor in gguf.GGUFReader(path).tensors}
    assert any(tensor_type.name.startswith("Q") for tensor_type in kinds)


def test_merging_adds_the_scaled_product(home, merged):
    name = "model.layers.1.mlp.up_proj.weight"
    key = "base_model.model.model.layers.1.mlp.up_proj.lora_{}.weight"
    adapter = load_file(home / "run" / "adapter_model.safetensors")
    base = load_file(home / "base" / "model.safetensors")[name]
    product = adapter[key.format("B")] @ adapter[key.format("A")]
    sum_of_both = base + 2 * product  # alpha is twice the rank
    np.testing.assert_allclose(
        load_file(merged / "model.safetensors")[name].numpy(), sum_of_both.numpy(), atol=1e-5
    )


def test_merging_goes_shard_by_shard_into_the_same_weights(home, tmp_path, merged):
    from transformers import AutoModelForCausalLM

    whole = AutoModelForCausalLM.from_pretrained(home / "base")
    shutil.copytree(home / "base", tmp_path / "base")
    (tmp_path / "base" / "model.safetensors").unlink()
    whole.save_pretrained(tmp_path / "base", max_shard_size="200KB")
    assert len(list((tmp_path / "base").glob("*.safetensors"))) > 1
    sharded = merge(tmp_path / "base", home / "run", tmp_path / "sharded")
    parts = [load_file(file) for file in sharded.glob("*.safetensors")]
    one = load_file(merged / "model.safetensors")
    assert all((tensor == one[name]).all() for part in parts for name, tensor in part.items())
    model_gguf(sharded, tmp_path / "sharded.gguf")


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json"])
def test_a_damaged_adapter_is_refused_and_nothing_is_left(home, tmp_path, file):
    run = shutil.copytree(home / "run", tmp_path / "run")
    (run / file).write_bytes((run / file).read_bytes()[:-20])
    with pytest.raises(ExportFailed):
        merge(home / "base", run, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_an_adapter_of_another_model_is_refused(home, tmp_path):
    other = save_exportable(tmp_path / "other", num_hidden_layers=1)
    with pytest.raises(ExportFailed, match="not this adapter's"):
        merge(other, home / "run", tmp_path / "merged")


def test_a_tokenizer_that_the_converter_does_not_know_is_refused(tmp_path):
    from support.small_family import save_family

    folder = save_family(tmp_path / "model", "llama")
    with pytest.raises(ExportFailed, match="could not be written"):
        model_gguf(folder, tmp_path / "model.gguf")
    assert not list(tmp_path.glob("*.gguf"))


def test_what_is_no_adapter_is_refused(home, tmp_path):
    with pytest.raises(ExportFailed):
        lora_gguf(home / "base", home / "base", tmp_path / "lora.gguf")


def test_the_command_writes_the_adapter_alone_when_asked(home, base_gguf, tmp_path):
    arguments = ["--model_path", home / "run", "--eval_file", home / "val.jsonl", "--adapter_only"]
    arguments += ["--base_gguf", base_gguf, "--output_dir", tmp_path / "out"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["parity.json", "run-lora-f16.gguf"]
    assert RunFolder(home / "run").metadata["status"] == "finished"


def test_a_damaged_shard_of_the_base_is_refused_and_what_was_written_does_not_count_as_checked(
    home, tmp_path, monkeypatch
):
    monkeypatch.setattr("fine_tuning.export.exported_run.lora_gguf", lambda run, base, target: target)
    base = shutil.copytree(home / "base", tmp_path / "base")
    run = shutil.copytree(home / "run", tmp_path / "run")
    change_json(run / "adapter_config.json", base_model_name_or_path=str(base))
    shard = base / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(BaseModelError, match="cannot be loaded"):
        export(run, tmp_path / "out", read_dialogues(home / "val.jsonl"))
    noted = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert noted.keys() == {"run-f16.gguf", "run-Q4_K_M.gguf", "base + adapter"}
    assert not any(row["passed"] for row in noted.values())
    with pytest.raises(ExportFailed, match="cannot be merged"):
        merge(base, run, tmp_path / "merged")
    assert not list(tmp_path.glob("merged*")), "nor the half of it"


@pytest.mark.parametrize("stage", ["note", "merge", "adapter", "quantised"])
def test_a_disk_that_is_full_is_said_and_nothing_half_written_stays(home, exported, tmp_path, stage):
    with small_disk(tmp_path / "disk") as disk:
        write = {
            "note": lambda: export(home / "run", disk, read_dialogues(home / "val.jsonl")),
            "merge": lambda: merge(home / "base", home / "run", disk / "merged"),
            "adapter": lambda: lora_gguf(home / "run", home / "base", disk / "lora.gguf"),
            "quantised": lambda: quantised(exported.merged[0], disk / "q.gguf", "Q8_0", 1),
        }[stage]
        blocker = fill(disk)
        with pytest.raises(ExportFailed, match=r"is full|No space left"):
            write()
        assert list(disk.iterdir()) == [blocker]


KILLED = """
import os, signal, sys
from pathlib import Path
from fine_tuning.export.exported_run import export

run, target, stage = sys.argv[1:]

def say(text):
    if stage in text:
        os.kill(os.getpid(), signal.SIGKILL)

export(Path(run), Path(target), [], kinds=["Q8_0"], threads=1, say=say)
"""


def test_what_a_killed_export_leaves_is_whole_and_does_not_count_as_checked(home, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(home / "run"), str(out), "converting the merged"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    noted = json.loads((out / "parity.json").read_text())
    assert noted["run-f16.gguf"] == noted["run-Q8_0.gguf"] == noted["base + adapter"] == {"passed": False}
    assert gguf.GGUFReader(out / "run-lora-f16.gguf").tensors
    merge(home / "base", home / "run", out / ".merged")
