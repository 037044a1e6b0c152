"""What a training command is given by mistake: one clear error, no traceback, nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fine_tuning.training.cli import main
from support.micro_model import micro_folder

Run = Callable[..., Result]
EXAMPLES = [{"instruction": f"What is item {n}?", "output": f"It is number {n}."} for n in range(4)]
WHOLE = json.dumps(EXAMPLES).encode()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return micro_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture
def run(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in a folder of its own, with a model, examples and a place for the run that are good."""
    monkeypatch.chdir(tmp_path)
    Path("examples.json").write_bytes(WHOLE)
    Path("a file").write_bytes(b"x")
    Path("a folder").mkdir()
    good = {"model": str(model), "data_path": "examples.json", "output_dir": "run"}

    def command(**flags: str) -> Result:
        arguments = [word for name, value in {**good, **flags}.items() for word in (f"--{name}", value)]
        return CliRunner().invoke(main, arguments)

    return command


def assert_refused(result: Result, *named: str) -> None:
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit), result.exc_info
    for words in named:
        assert words in result.output, result.output
    assert not Path("run").exists()


DATASETS = {
    "empty": (b"", "no example"),
    "an empty list": (b"[]", "no example"),
    "UTF-16": (WHOLE.decode().encode("utf-16"), "not UTF-8"),
    "Latin-1": ('[{"instruction": "é", "output": "ü"}]'.encode("latin-1"), "not UTF-8"),
    "NUL at its end": (WHOLE + b"\0", "follows the end"),
    "cut off": (WHOLE[:-20], "no JSON"),
    "other keys": (b'[{"question": "a", "answer": "b"}]', "instruction is missing"),
    "wrapped": (json.dumps({"data": EXAMPLES}).encode(), "instruction is missing"),
    "numbers": (b'[{"instruction": 5, "output": "x"}]', "a text, not a number"),
    "null": (b'[{"instruction": "a", "output": null}]', "a text, not null"),
    "blank": (b'[{"instruction": " ", "output": "x"}]', "is empty"),
    "too deep": (b"[" * 100_000, "too deeply"),
    "not a number": (b'[{"instruction": "a", "output": NaN}]', "NaN"),
    "half a character": (b'[{"instruction": "\\ud800", "output": "x"}]', "half a character"),
    "a scalar": (b"5", "an example is an object"),
    "a list of other things": (WHOLE[:-1] + b', "x"]', "an example is an object"),
    "an answer without a question": (
        b'[{"messages": [{"role": "assistant", "content": "x"}]}]',
        "where the user's is due",
    ),
    "a bad line": (b'{"instruction": "a", "output": "b"}\n{bad\n', "line 2"),
}


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_that_is(name: str, run: Run) -> None:
    text, words = DATASETS[name]
    Path("bad.jsonl" if name == "a bad line" else "bad.json").write_bytes(text)
    file = "bad.jsonl" if name == "a bad line" else "bad.json"
    assert_refused(run(data_path=file), file, words)


FLAGS = [
    ({"data_path": "nowhere.json"}, "nowhere.json"),
    ({"data_path": "a folder"}, "a folder"),
    ({"model": "nowhere"}, "nowhere"),
    ({"model": "a folder"}, "config.json"),
    ({"model": "a file"}, "a file"),
    ({"output_dir": "a file"}, "cannot be written to 'a file'"),
    ({"output_dir": "a file/below"}, "cannot be written to 'a file/below'"),
    ({"output_dir": "/proc/nowhere"}, "another --output_dir"),
    ({"config": "nowhere.yaml"}, "nowhere.yaml"),
    *(
        ({name: value}, name.replace("lora_", "lora."))
        for name, values in {
            "num_epochs": ("0", "-1", "99999999999999"),
            "learning_rate": ("0", "nan", "inf", "-1", "5"),
            "batch_size": ("0", "9999999999999999999999"),
            "gradient_accumulation_steps": ("0", "99999999"),
            "max_seq_length": ("0", "999999999"),
            "max_grad_norm": ("inf", "-1"),
            "warmup_ratio": ("-1", "1", "nan"),
            "seed": ("-1", "99999999999999999999999"),
            "lora_r": ("0", "-3", "99999999"),
            "lora_dropout": ("2", "nan"),
        }.items()
        for value in values
    ),
]


@pytest.mark.parametrize(
    ("flags", "named"), FLAGS, ids=lambda value: value if isinstance(value, str) else None
)
def test_a_flag_that_cannot_be_meant(flags: dict[str, str], named: str, run: Run) -> None:
    assert_refused(run(**flags), named)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"a: [1", "cannot be read"),
        (b"- 1", "key: value"),
        (b"learning_rat: 1", "Did you mean 'learning_rate'?"),
        (b"lora_r: 4", "Did you mean 'lora.r'?"),
        (b"learning_rate: .nan", "learning_rate"),
        (b"lora: 5", "lora"),
        (b"num_epochs: [3]", "num_epochs"),
        (bytes(range(256)), "cannot be read"),
    ],
)
def test_a_recipe_that_cannot_be_meant(text: bytes, named: str, run: Run) -> None:
    Path("recipe.yaml").write_bytes(text)
    assert_refused(run(config="recipe.yaml"), "recipe.yaml", named)


def test_examples_that_are_all_too_long(run: Run) -> None:
    assert_refused(run(max_seq_length="2"), "--max_seq_length")
