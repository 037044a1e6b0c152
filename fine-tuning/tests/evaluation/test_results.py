from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from fine_tuning.errors import EvaluationError
from fine_tuning.evaluation import cli as evaluation_cli
from fine_tuning.evaluation import compare_models
from fine_tuning.evaluation.answerers import Answerer
from fine_tuning.evaluation.compare_models import as_html, as_markdown, as_text, side_by_side
from fine_tuning.evaluation.evaluate import Answered, Item
from fine_tuning.evaluation.results import compared, evaluation, keep, kept, plot
from hypothesis import given
from hypothesis import strategies as st

ITEMS = [Item(f"q{n}", f"answer {n}", "a" if n % 2 else "b", fact=f"f{n // 2}") for n in range(40)]


def answered(right: int):
    return [Answered(item, item.truth if n < right else "no") for n, item in enumerate(ITEMS)]


def test_a_result_is_kept_and_read_back(tmp_path):
    result = evaluation("a/b: c.gguf", "val.jsonl", "bare", answered(30), 3.5)
    path = keep(result, tmp_path)
    assert kept(path) == result
    assert keep(result, tmp_path) != path
    summary = json.loads(path.read_text())
    assert summary["f1"] == pytest.approx(0.75)
    assert summary["f1_interval"]["low"] < 0.75 < summary["f1_interval"]["high"]
    assert set(summary["topics"]) == {"a", "b"}


def test_results_are_compared_on_the_questions_both_were_asked():
    better, worse = (evaluation("m", "e", "bare", answered(n)) for n in (40, 20))
    assert compared(better, worse).gained == 20
    fewer = evaluation("m", "e", "bare", answered(40)[::-1][:10])
    assert compared(fewer, worse).count == 10
    with pytest.raises(EvaluationError, match="in common"):
        compared(better, evaluation("m", "e", "bare", [Answered(Item("x", "y"), "y")]))
    with pytest.raises(EvaluationError, match="setting"):
        compared(better, evaluation("m", "e", "server", answered(1)))


def test_all_kept_results_are_drawn_and_other_files_left_out(tmp_path):
    assert plot(tmp_path) is None
    (tmp_path / "other.json").write_text("[]")
    for right in (10, 30):
        keep(evaluation("m$_x$", "e", "bare", answered(right)), tmp_path)
    assert plot(tmp_path).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"answers": [1]}', '{"answers": [{"item": {}, "answer": ""}]}']
)
def test_a_file_that_is_no_result_is_told(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(EvaluationError, match=r"x\.json"):
        kept(tmp_path / "x.json")


class Fixed(Answerer):
    def __init__(self, path: str) -> None:
        self.path = path

    def reply(self, messages, **_):
        return f"{self.path} | <b>{messages[-1]['content']}</b>"

    def close(self) -> None: ...


@pytest.fixture
def fixed(monkeypatch):
    monkeypatch.setattr(compare_models, "opened", lambda path, *_: Fixed(path))
    monkeypatch.setattr(evaluation_cli, "open_model", lambda path, **_: Fixed(path))


def test_prompts_stand_side_by_side_as_the_specification_writes_the_command(fixed, tmp_path):
    output = tmp_path / "c.html"
    options = ["--base_model", "base", "--fine_tuned_model", "ft", "--prompts", "one", "two"]
    shown = CliRunner().invoke(compare_models.main, options)
    assert shown.exit_code == 0, shown.output
    assert "two" in shown.output
    written = CliRunner().invoke(compare_models.main, [*options, "--format", "html", "--output", str(output)])
    assert written.exit_code == 0, written.output
    assert "ft | &lt;b&gt;two&lt;/b&gt;" in output.read_text()
    assert CliRunner().invoke(compare_models.main, options[:4]).exit_code == 2


def test_questions_with_answers_also_give_figures(fixed, tmp_path):
    file = tmp_path / "v.jsonl"
    file.write_text('{"instruction": "q", "output": "base bqb"}\n' * 8)
    result = CliRunner().invoke(
        compare_models.main, ["--base_model", "base", "--fine_tuned_model", "ft", "--eval_file", str(file)]
    )
    assert "0 gained, 8 lost" in result.output, result.output


def test_an_evaluation_is_kept_drawn_and_compared_with_an_earlier_one(fixed, tmp_path):
    file = tmp_path / "v.jsonl"
    file.write_text('{"instruction": "q", "output": "new bqb", "topic": "t"}\n')
    kept_in = tmp_path / "kept"
    options = ["--eval_file", str(file), "--results_dir", str(kept_in)]
    first = CliRunner().invoke(evaluation_cli.main, ["--model_path", "old", *options])
    assert first.exit_code == 0, first.output
    (earlier,) = kept_in.glob("*.json")
    second = CliRunner().invoke(
        evaluation_cli.main, ["--model_path", "new", *options, "--against", str(earlier)]
    )
    assert second.exit_code == 0, second.output
    assert "1 gained, 0 lost" in second.stdout
    assert (kept_in / "evaluations.png").is_file()


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_no_answer_breaks_out_of_its_cell(texts):
    rows = [Answered(Item(text, ""), text) for text in texts]
    both = side_by_side(("a|b", "<c>"), rows, rows)
    lines = as_markdown(both).split("\n")
    assert all(
        line.replace("\\\\", "").replace("\\|", "").count("|") == 4 for line in lines[: len(texts) + 2]
    )
    assert as_html(both).count("<td>") == 3 * len(texts)
    assert as_text(both)
