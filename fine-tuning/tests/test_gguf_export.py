from __future__ import annotations

import json

import numpy as np
import pytest
from fine_tuning.answerers import FolderAnswerer, GgufAnswerer
from fine_tuning.chat_format import CHAT_TEMPLATE
from fine_tuning.errors import ExportFailed
from fine_tuning.gguf_export import About, export_folder, rotary_order
from fine_tuning.parity import F32_LOGIT_MARGIN, UNICODE_SAMPLES, compare, token_differences
from fine_tuning.tokenizer import CONTROL_TOKENS
from gguf import GGUFReader, TokenType
from support.micro_model import micro_folder

QUESTIONS = ["What is the relay?", "Grüße 😀", "x" * 40]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return micro_folder(tmp_path_factory.mktemp("hf"))


@pytest.fixture(scope="module")
def exported(source, tmp_path_factory):
    return export_folder(source, tmp_path_factory.mktemp("gguf"), ("f32", "f16", "q8_0"))


@pytest.fixture(scope="module")
def trained(source):
    return FolderAnswerer(source, threads=1)


def test_the_unquantised_export_gives_the_trained_models_logits(trained, exported):
    f32 = GgufAnswerer(exported[0], threads=1, window=256)
    parity = compare(trained, f32, QUESTIONS)
    f32.close()
    assert parity.largest_logit_difference <= F32_LOGIT_MARGIN, parity


def test_half_and_eight_bit_exports_are_close(trained, exported):
    for path in exported[1:]:
        model = GgufAnswerer(path, threads=1, window=256)
        parity = compare(trained, model, QUESTIONS)
        model.close()
        assert parity.largest_logit_difference < 0.1, path.name


def test_a_projection_in_the_wrong_row_order_would_be_noticed(trained, source, tmp_path, monkeypatch):
    monkeypatch.setattr("fine_tuning.gguf_export.rotary_order", lambda weight, heads: weight)
    wrong = GgufAnswerer(export_folder(source, tmp_path, ("f32",))[0], threads=1, window=256)
    parity = compare(trained, wrong, QUESTIONS)
    wrong.close()
    assert parity.largest_logit_difference > 10 * F32_LOGIT_MARGIN, parity


def test_llama_cpp_cuts_texts_into_the_same_tokens(trained, exported):
    model = GgufAnswerer(exported[2], threads=1, window=256)
    different = token_differences(trained.tokenizer.backend_tokenizer, model, UNICODE_SAMPLES)
    model.close()
    assert different == []


def test_the_file_says_what_it_is(exported):
    fields = {name: field.contents() for name, field in GGUFReader(exported[2]).fields.items()}
    assert fields["general.architecture"] == "llama"
    assert fields["tokenizer.ggml.pre"] == "gpt-2"
    assert fields["tokenizer.chat_template"] == CHAT_TEMPLATE
    assert fields["llama.context_length"] == 512
    assert fields["tokenizer.ggml.add_bos_token"] is True
    assert fields["tokenizer.ggml.add_eos_token"] is False
    types = dict(zip(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"], strict=True))
    assert {name for name, kind in types.items() if kind == TokenType.CONTROL} == set(CONTROL_TOKENS)


def test_it_advises_the_sampling_it_was_measured_with_if_it_is_told(source, exported, tmp_path):
    silent = GGUFReader(exported[2]).fields
    assert not [name for name in silent if name.startswith("general.sampling")]
    (path,) = export_folder(source, tmp_path, ("q8_0",), about=About(temperature=0.0, repetition_penalty=1.0))
    fields = {name: field.contents() for name, field in GGUFReader(path).fields.items()}
    assert (fields["general.sampling.temp"], fields["general.sampling.penalty_repeat"]) == (0.0, 1.0)


def test_only_matrices_are_quantised(exported):
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(exported[2]).tensors}
    assert {kind for name, kind in kinds.items() if "norm" in name} == {"F32"}
    assert {kind for name, kind in kinds.items() if "norm" not in name} == {"Q8_0"}


def test_nothing_but_the_files_is_left(exported):
    assert sorted(path.name for path in exported[0].parent.iterdir()) == sorted(p.name for p in exported)


def test_rotary_order_turns_halves_into_neighbours_per_head():
    weight = np.arange(8)[:, None]
    assert rotary_order(weight, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model_type": "mixtral"}, "model_type 'mixtral'"),
        ({"sliding_window": 4096}, "Sliding-window"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "RoPE scaling 'yarn'"),
        ({"attention_bias": True}, "bias"),
        ({"vocab_size": 100}, "ids up to"),
    ],
)
def test_what_would_be_exported_wrongly_is_refused(source, tmp_path, change, complaint):
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((source / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}), "utf-8")
    with pytest.raises(ExportFailed, match=complaint):
        export_folder(tmp_path, tmp_path / "out", ("f32",))
    assert not list((tmp_path / "out").glob("*.gguf"))


def test_an_unknown_format_is_refused(source, tmp_path):
    with pytest.raises(ExportFailed, match="f32, f16, q8_0"):
        export_folder(source, tmp_path, ("q2",))
