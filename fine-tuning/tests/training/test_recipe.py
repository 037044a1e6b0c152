from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from fine_tuning.errors import RecipeError
from fine_tuning.training.cli import main
from fine_tuning.training.recipe import LoraRecipe, TrainingRecipe, load_recipe

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RECIPES = sorted(CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_explains_every_key(path):
    load_recipe(**{"lora" if path.stem.startswith("lora") else "base": path})
    lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if line and not line.startswith("#"):
            assert lines[number - 1].startswith("#"), f"{path.name}: {line!r} has no comment above it"


def test_the_base_recipe_holds_every_key_with_its_default():
    values = yaml.safe_load((CONFIGS / "base.yaml").read_text("utf-8"))
    assert sorted(values) == sorted(set(TrainingRecipe.model_fields) - {"lora"})
    assert load_recipe(CONFIGS / "base.yaml") == TrainingRecipe()


def test_the_lora_recipes_hold_every_key():
    for path in CONFIGS.glob("lora_*.yaml"):
        assert set(yaml.safe_load(path.read_text("utf-8"))) == set(LoraRecipe.model_fields)


def test_the_promised_defaults():
    recipe = load_recipe()
    assert (recipe.num_epochs, recipe.batch_size, recipe.learning_rate, recipe.lora.r) == (3, 4, 2e-4, 64)


def test_flags_go_over_the_files():
    flags = {"num_epochs": 1, "lora_r": 8, "batch_size": None}
    recipe = load_recipe(CONFIGS / "base.yaml", CONFIGS / "lora_r16a32.yaml", flags)
    assert (recipe.num_epochs, recipe.lora.r, recipe.lora.alpha, recipe.batch_size) == (1, 8, 32, 4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("learning_rat: 1\n", "learning_rat"),
        ("batch_size: 0\n", "batch_size"),
        ("lora: {r: many}\n", "lora.r"),
        ("- a list\n", "key: value"),
        ("a: [\n", "cannot be read"),
    ],
)
def test_a_wrong_recipe_is_refused_by_its_key(tmp_path, text, said):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=said):
        load_recipe(path)


def test_every_key_is_a_flag_in_both_spellings():
    shown = CliRunner().invoke(main, ["--help"]).output
    for name in set(TrainingRecipe.model_fields) - {"lora"}:
        assert f"--{name}" in shown
    for name in LoraRecipe.model_fields:
        assert f"--lora_{name}" in shown
    assert "--learning-rate" in shown


def test_without_data_nothing_begins(tmp_path):
    result = CliRunner().invoke(main, ["--output_dir", str(tmp_path / "run")])
    assert result.exit_code == 1
    assert "--data_path" in result.output
    assert not (tmp_path / "run").exists()
