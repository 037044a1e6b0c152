from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from training_data.cli import main

LAUNCHER = Path(__file__).parents[1] / "generate_training_data.py"


def test_the_documented_command_writes_the_dataset(tmp_path):
    command = [sys.executable, str(LAUNCHER), "--output", "continuity_dataset.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "continuity_dataset.json").read_text("utf-8"))
    assert len(rows) >= 1000
    assert set(rows[0]) == {"instruction", "input", "output", "topic", "fact", "wording", "source", "licence"}
    assert {"continuity", "handoff", "architecture", "practice"} <= {row["topic"] for row in rows}
    assert f"{len(rows)} examples" in done.stdout


def test_the_split_is_written_beside_the_dataset(tmp_path):
    output = tmp_path / "d.jsonl"
    result = CliRunner().invoke(
        main, ["--output", str(output), "--val-split", "0.1", "--seed", "3", "--topic", "handoff"]
    )
    assert result.exit_code == 0, result.output
    counts = [
        len(file.read_text("utf-8").splitlines())
        for file in (output, tmp_path / "d.train.jsonl", tmp_path / "d.val.jsonl")
    ]
    assert counts[0] == counts[1] + counts[2]
    assert 0 < counts[2] < counts[1]


def test_an_output_that_cannot_be_written_is_said_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(main, ["--output", str(tmp_path / "file" / "d.json"), "--topic", "talk"])
    assert result.exit_code == 1
    assert "Cannot write" in result.output


def test_a_share_of_one_is_refused(tmp_path):
    result = CliRunner().invoke(main, ["--output", str(tmp_path / "d.json"), "--val-split", "1"])
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_is_checked_and_described_without_writing(tmp_path):
    file = tmp_path / "d.jsonl"
    file.write_text('{"instruction": "one two", "output": "three", "topic": "t"}\n' * 2)
    result = CliRunner().invoke(main, ["--check", str(file), "--stats"])
    assert result.exit_code == 0, result.output
    assert "2 examples, no fault" in result.output
    assert "repeated 1" in result.output
    assert "words of answers: 1 to 1" in result.output
    assert list(tmp_path.iterdir()) == [file]


def test_a_faulty_dataset_is_told_line_by_line(tmp_path):
    file = tmp_path / "d.jsonl"
    file.write_text('{"instruction": "q", "output": "a"}\n{"instruction": "q"}\n')
    result = CliRunner().invoke(main, ["--check", str(file)])
    assert result.exit_code == 1
    assert "line 2: output is missing." in result.output


def test_lengths_are_counted_in_the_tokens_of_the_model_that_is_named(tmp_path):
    file = tmp_path / "d.json"
    file.write_text(
        json.dumps([{"instruction": "Tell me about tokenization.", "output": "Antidisestablishment"}])
    )
    builtin = Path(__file__).parents[2] / "fine-tuning/builtin/orchestrator-tiny.gguf"
    result = CliRunner().invoke(main, ["--check", str(file), "--json", "--tokenizer", str(builtin)])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["unit"] == "tokens"
    assert figures["answers"]["total"] > 1
    wrong = CliRunner().invoke(main, ["--check", str(file), "--stats", "--tokenizer", str(file)])
    assert wrong.exit_code == 1
    assert "holds no tokenizer" in wrong.output
