from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from fine_tuning.errors import EvaluationError
from fine_tuning.evaluation.answerers import CHAT_DEFAULTS, GREEDY, Answerer, open_model
from fine_tuning.evaluation.cli import main
from fine_tuning.evaluation.evaluate import Item, by, load_items, overall, run, sample
from fine_tuning.export.gguf_conversion import builtin_gguf
from support.micro_model import micro_folder


class Parrot(Answerer):
    """Answers every question with its own last line, and notes what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def reply(self, messages, *, max_tokens=96, sampling=GREEDY):
        system = messages[0]["content"] if messages[0]["role"] == "system" else ""
        self.seen.append((messages[-1]["content"], system))
        return messages[-1]["content"].splitlines()[-1]

    def close(self) -> None: ...


ITEMS = [Item("one", "one", "a"), Item("two", "2", "a"), Item("three", "three", "b")]


def test_scores_are_counted_overall_and_by_topic():
    answered = run(Parrot(), ITEMS)
    assert overall(answered).exact_match == pytest.approx(2 / 3)
    assert {name: scores.f1 for name, scores in by(answered, "topic").items()} == {"a": 0.5, "b": 1.0}


def test_the_settings_put_around_a_question_what_the_server_would():
    shown = {}
    for setting in ("bare", "server", "documents"):
        parrot = Parrot()
        run(parrot, ITEMS, setting)
        shown[setting] = parrot.seen
    assert shown["bare"][0] == ("one", "")
    assert shown["server"][0][0].endswith("]\n\none")
    assert "<document" not in shown["server"][0][1]
    systems = [system for _, system in shown["documents"]]
    assert all(system.count("<document name=") == 4 for system in systems)
    assert systems[0] != systems[-1]


def test_a_sample_is_fixed_and_keeps_the_order():
    items = [Item(str(number), "") for number in range(100)]
    assert sample(items, 10) == sample(items, 10)
    assert sample(items, 10) == sorted(sample(items, 10), key=lambda item: int(item.question))
    assert sample(items, 200) == items


def test_json_and_jsonl_are_read_alike(tmp_path):
    rows = [{"instruction": "q", "input": "more", "output": "a", "topic": "t"}]
    (tmp_path / "a.json").write_text(json.dumps(rows), "utf-8")
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]) + "\n\n", "utf-8")
    assert load_items(tmp_path / "a.json") == load_items(tmp_path / "a.jsonl")
    assert load_items(tmp_path / "a.json")[0].question == "q\n\nmore"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"instruction": "q"}', "line 1: output is missing"),
        (b'{"instruction": "q", "output": "a"}\n["x"]', "line 2: an example is an object"),
        (b"not json", "line 1: no JSON"),
        (b"\xff\xfe", "line 1: this line is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path, content, complaint):
    file = tmp_path / "broken.jsonl"
    file.write_bytes(content)
    with pytest.raises(EvaluationError, match=complaint):
        load_items(file)


def test_the_command_prints_a_table_and_json_for_a_gguf_and_for_a_folder(tmp_path):
    folder = micro_folder(tmp_path / "hf")
    file = tmp_path / "val.json"
    file.write_text(json.dumps([{"instruction": "What is the relay?", "output": "a connection"}]), "utf-8")
    for model in (folder, builtin_gguf(folder, tmp_path / "micro.gguf")):
        options = [
            "--model_path",
            str(model),
            "--eval_file",
            str(file),
            "--max_tokens",
            "5",
            "--threads",
            "1",
        ]
        result = CliRunner().invoke(main, [*options, "--json"])
        assert result.exit_code == 0, result.output
        scores = json.loads(result.stdout)
        assert scores["count"] == 1
        assert scores["setting"] == "bare"
        assert 0 <= scores["f1"] <= 1


def test_a_path_without_a_model_is_said_so(tmp_path):
    file = tmp_path / "val.json"
    file.write_text('[{"instruction": "q", "output": "a"}]', "utf-8")
    result = CliRunner().invoke(main, ["--model_path", str(tmp_path), "--eval_file", str(file)])
    assert result.exit_code == 1
    assert "neither a GGUF file nor a folder" in result.output
    with pytest.raises(FileNotFoundError):
        open_model(tmp_path / "absent")


def test_sampled_answers_have_a_seed_each_and_greedy_ones_need_none():
    seeds = []

    class Noting(Parrot):
        def reply(self, messages, *, max_tokens=96, sampling=GREEDY):
            seeds.append(sampling.seed)
            return ""

    run(Noting(), ITEMS, sampling=replace(CHAT_DEFAULTS, seed=7))
    run(Noting(), ITEMS)
    assert seeds == [7, 8, 9, 1, 1, 1]
