from __future__ import annotations

import json

import pytest
from fine_tuning.errors import ExportFailed
from fine_tuning.evaluation.answerers import FolderAnswerer, GgufAnswerer
from fine_tuning.export.gguf_conversion import builtin_gguf
from fine_tuning.tiny.chat_format import CHAT_TEMPLATE
from fine_tuning.tiny.parity import F32_LOGIT_MARGIN, UNICODE_SAMPLES, compare, token_differences
from fine_tuning.tiny.release import ABOUT
from fine_tuning.tiny.tokenizer import CONTROL_TOKENS
from gguf import GGUFReader, TokenType
from support.micro_model import micro_folder

QUESTIONS = ["What is the relay?", "Grüße 😀", "x" * 40]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return micro_folder(tmp_path_factory.mktemp("hf"))


@pytest.fixture(scope="module")
def exported(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    return {form: builtin_gguf(source, folder / f"{form}.gguf", form, ABOUT) for form in ("f32", "q8_0")}


@pytest.fixture(scope="module")
def trained(source):
    return FolderAnswerer(source, threads=1)


@pytest.mark.parametrize(("form", "margin"), [("f32", F32_LOGIT_MARGIN), ("q8_0", 0.1)])
def test_an_export_gives_the_trained_models_logits(trained, exported, form, margin):
    model = GgufAnswerer(exported[form], threads=1, window=256)
    parity = compare(trained, model, QUESTIONS)
    model.close()
    assert parity.largest_logit_difference < margin, parity


def test_llama_cpp_cuts_texts_into_the_same_tokens(trained, exported):
    model = GgufAnswerer(exported["q8_0"], threads=1, window=256)
    different = token_differences(trained.tokenizer.backend_tokenizer, model, UNICODE_SAMPLES)
    model.close()
    assert different == []


def test_the_file_says_what_it_is_and_advises_the_sampling_it_was_measured_with(exported):
    fields = {name: field.contents() for name, field in GGUFReader(exported["q8_0"]).fields.items()}
    assert {name: fields[name] for name in ABOUT} == ABOUT
    assert fields["tokenizer.ggml.pre"] == "gpt-2"
    assert fields["tokenizer.chat_template"] == CHAT_TEMPLATE
    assert fields["llama.context_length"] == 512
    types = dict(zip(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"], strict=True))
    assert {name for name, kind in types.items() if kind == TokenType.CONTROL} == set(CONTROL_TOKENS)


def test_nothing_but_the_files_is_left(exported):
    assert {path.name for path in exported["f32"].parent.iterdir()} == {"f32.gguf", "q8_0.gguf"}


def test_a_model_that_the_converter_does_not_know_is_refused_with_its_reason(source, tmp_path):
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((source / "config.json").read_text("utf-8"))
    changed = {**config, "architectures": ["UnheardOfForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(changed), "utf-8")
    with pytest.raises(ExportFailed, match="UnheardOfForCausalLM"):
        builtin_gguf(tmp_path, tmp_path / "out" / "model.gguf")
    assert not list((tmp_path / "out").iterdir())
