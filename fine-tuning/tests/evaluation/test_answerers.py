"""One model behind every kind of backend gives the same answers, equally surprised by others."""

from __future__ import annotations

import json

import gguf
import numpy as np
import pytest
from fine_tuning.errors import BaseModelError
from fine_tuning.evaluation import remote_answerer
from fine_tuning.evaluation.answerers import open_model
from fine_tuning.evaluation.evaluate import Item, perplexity, run
from fine_tuning.export.gguf_conversion import builtin_gguf
from orchestrator_core.backends.model_files import builtin_folders, find_builtin
from support.fetched import gemma
from support.micro_model import micro_folder
from support.openai_server import HttpDouble

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")

ITEMS = [
    Item("What is the relay?", "The relay is a connection."),
    Item("日本?", "Grüße 😀", earlier=(("user", "a"), ("assistant", "b"))),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder, its GGUF, and one LoRA for both, as an adapter's folder and as GGUF."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    at = tmp_path_factory.mktemp("models")
    folder = micro_folder(at / "hf")
    exported = builtin_gguf(folder, at / "micro.gguf", "f32")
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["v_proj"], init_lora_weights=False)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    for name, weight in tuned.named_parameters():
        if "lora_" in name:
            weight.data *= 20
    tuned.save_pretrained(at / "adapter")
    lora = at / "lora.gguf"
    writer = gguf.GGUFWriter(lora, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    for name, weight in tuned.named_parameters():
        if "lora_" in name:
            layer, kind = name.split("layers.")[1].split(".")[0], "a" if "lora_A" in name else "b"
            writer.add_tensor(
                f"blk.{layer}.attn_v.weight.lora_{kind}", weight.detach().numpy().astype(np.float32)
            )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {"folder": folder, "gguf": exported, "adapter": at / "adapter", "lora": lora}


def measured(path, adapter=None):
    model = open_model(path, adapter=adapter, threads=1, window=256)
    answers = [row.answer for row in run(model, ITEMS, max_tokens=6)]
    surprise = perplexity(model, ITEMS)
    model.close()
    return answers, surprise


def test_a_folder_and_its_gguf_agree_with_and_without_a_lora(models):
    plain = measured(models["folder"]), measured(models["gguf"])
    tuned = (
        measured(models["adapter"]),
        measured(models["folder"], models["adapter"]),
        measured(models["gguf"], models["lora"]),
    )
    assert plain[0][0] == plain[1][0]
    assert plain[0][1] == pytest.approx(plain[1][1], rel=1e-3)
    assert [answers for answers, _ in tuned] == [tuned[0][0]] * 3
    assert [surprise for _, surprise in tuned] == pytest.approx([tuned[0][1]] * 3, rel=1e-3)
    assert tuned[0][1] != pytest.approx(plain[0][1], rel=1e-2)


def test_an_adapter_of_the_wrong_kind_or_nowhere_is_refused(models, tmp_path):
    with pytest.raises(FileNotFoundError, match="LoRA as GGUF"):
        open_model(models["gguf"], adapter=models["adapter"])
    with pytest.raises(FileNotFoundError, match="adapter_config"):
        open_model(models["folder"], adapter=tmp_path)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    with pytest.raises(BaseModelError, match=r"broken\.gguf"):
        open_model(tmp_path / "broken.gguf")
    with pytest.raises(BaseModelError, match=r"broken\.gguf"):
        open_model(models["gguf"], adapter=tmp_path / "broken.gguf")


def test_a_prompt_without_room_for_its_answer_is_refused(models):
    model = open_model(models["gguf"], window=64)
    with pytest.raises(BaseModelError, match="--window"):
        model.reply([{"role": "user", "content": "words " * 80}])
    with pytest.raises(BaseModelError, match="--window"):
        model.surprise([{"role": "user", "content": "hi"}], "words " * 80)
    model.close()


def test_an_adapter_is_asked_on_four_bits_as_it_was_trained(models):
    model = open_model(models["adapter"], four_bit=True)
    total, tokens = model.surprise([{"role": "user", "content": "What is the relay?"}], "A connection.")
    assert 0 < total / tokens < 20
    model.close()


@pytest.mark.parametrize("config", ["{", "[]", "{}"])
def test_an_adapter_that_names_no_base_is_refused(tmp_path, config):
    (tmp_path / "adapter_config.json").write_text(config)
    with pytest.raises(BaseModelError, match="base"):
        open_model(tmp_path)


def test_an_adapter_whose_base_is_gone_is_said_so(models, tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "/nowhere/base"}))
    with pytest.raises(BaseModelError, match="/nowhere/base"):
        open_model(tmp_path)


@pytest.fixture
def busy_server(monkeypatch):
    """Busy twice, then it answers; it notes what it was asked."""
    monkeypatch.setattr(remote_answerer, "WAITS_S", (0.0, 0.0, 0.0))
    answers = [(429, {}), (503, {}), (200, {"choices": [{"message": {"content": " Rye. "}}]})]

    def answer(exchange):
        if exchange.method == "GET":
            exchange.json({"data": [{"id": "served"}]})
            return
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        exchange.json(body, status)

    double = HttpDouble(answer)
    yield double
    double.close()


def test_a_busy_server_is_asked_again_and_how_likely_an_answer_was_it_cannot_tell(busy_server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    model = open_model(busy_server.url)
    (row,) = run(model, [Item("Bread?", "Rye")])
    assert row.answer == "Rye."
    assert perplexity(model, [Item("Bread?", "Rye")]) is None
    last = busy_server.seen[-1]
    assert last.body["model"] == "served"
    assert last.headers["Authorization"] == "Bearer sk-x"
    assert last.body["messages"] == [{"role": "user", "content": "Bread?"}]


@pytest.mark.parametrize(
    "answer",
    [
        lambda exchange: exchange.json({"error": "no"}, 401),
        lambda exchange: exchange.json(b"<html>", 200),
        lambda exchange: exchange.drop(),
        lambda exchange: exchange.json({"choices": []}),
    ],
)
def test_a_server_that_refuses_breaks_off_or_answers_nonsense_is_told(answer, monkeypatch):
    monkeypatch.setattr(remote_answerer, "WAITS_S", (0.0,))
    double = HttpDouble(answer)
    model = open_model(double.url, remote_model="m")
    with pytest.raises(BaseModelError, match="127.0.0.1"):
        model.reply([{"role": "user", "content": "q"}])
    double.close()


@pytest.mark.slow
def test_a_real_model_is_less_surprised_by_sense_than_by_nonsense():
    model = open_model(gemma(), window=128)
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    sense, nonsense = (
        model.surprise(asked, text)
        for text in ("The capital of France is Paris.", "Of Paris capital the is France.")
    )
    assert sense[0] / sense[1] < nonsense[0] / nonsense[1]
    assert isinstance(model.reply(asked, max_tokens=3), str)
    model.close()


def test_what_was_evaluated_before_changes_no_surprise():
    model = open_model(find_builtin(builtin_folders()), threads=1)
    documents = {"role": "system", "content": "The relay is held open by the desktop. " * 20}
    asked = [[documents, {"role": "user", "content": f"What is the relay, number {i}?"}] for i in range(3)]
    answers = ["A connection.", "It is held open.", ""]

    def surprises():
        return [model.surprise(messages, text) for messages, text in zip(asked, answers, strict=True)]

    first = surprises()
    evaluated = []
    evaluate = model.llm.eval
    model.llm.eval = lambda tokens: evaluated.append(len(tokens)) or evaluate(tokens)
    model.reply(asked[0], max_tokens=4)
    again = surprises()
    assert [nats for nats, _ in again] == pytest.approx([nats for nats, _ in first], rel=1e-3)
    assert max(evaluated) < 100, "the documents are evaluated once"
    model.close()
