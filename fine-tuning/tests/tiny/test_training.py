from __future__ import annotations

import csv
from dataclasses import replace

import pytest
import torch
from fine_tuning.errors import TrainingRefused
from fine_tuning.tiny.recipe import TinyRecipe
from fine_tuning.tiny.training import CHECKPOINT, RUN_FILE, TinyProgress, effort_of, learning_rate, train
from support.micro_model import MICRO


def weights(folder) -> dict[str, torch.Tensor]:
    return torch.load(folder / CHECKPOINT, weights_only=True)["model"]


def same(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    assert train(MICRO, folder) is not None
    return folder


@pytest.mark.slow
def test_an_interrupted_training_ends_in_the_same_weights(finished, tmp_path):
    assert train(MICRO, tmp_path, stop_after=4) is None  # one step after the checkpoint of step 3 is lost
    assert effort_of(tmp_path).steps == 3
    assert train(MICRO, tmp_path) is not None
    assert same(weights(tmp_path), weights(finished))
    assert (tmp_path / "loss.csv").read_text() == (finished / "loss.csv").read_text()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(finished, tmp_path):
    train(MICRO, tmp_path / "again")
    assert same(weights(tmp_path / "again"), weights(finished))
    other = replace(MICRO, seed=MICRO.seed + 1)
    train(other, tmp_path / "other")
    assert not same(weights(tmp_path / "other"), weights(finished))


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again_and_leaves_a_loadable_model(finished):
    from fine_tuning.evaluation.answerers import FolderAnswerer

    before = weights(finished)
    reports: list[TinyProgress] = []
    trained = train(MICRO, finished, report=reports.append)
    assert trained is not None
    assert reports == []
    assert same(weights(finished), before)
    assert isinstance(FolderAnswerer(finished / "hf", threads=1).answer("What is a seam?", max_tokens=4), str)


@pytest.mark.slow
def test_the_loss_falls_and_progress_is_reported(tmp_path):
    reports: list[TinyProgress] = []
    train(replace(MICRO, steps=75, warmup=5, learning_rate=5e-3), tmp_path, report=reports.append)
    assert [p.step for p in reports if p.step % 25 == 0] == [25, 50, 75]
    assert reports[-1].loss < reports[0].loss - 0.5
    assert reports[-1].validation_loss is not None
    assert reports[-1].left_s == 0
    rows = list(csv.DictReader((tmp_path / "loss.csv").read_text("utf-8").splitlines()))
    assert int(rows[-1]["step"]) == 75
    assert (tmp_path / "loss_curve.png").is_file()


def test_a_folder_of_another_recipe_is_refused_and_left_alone(tmp_path):
    (tmp_path / RUN_FILE).write_text('{"recipe": {}, "dataset_sha256": ""}', "utf-8")
    with pytest.raises(TrainingRefused, match="another recipe"):
        train(MICRO, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [RUN_FILE]


def test_a_folder_without_a_run_has_cost_nothing_to_tell(tmp_path):
    with pytest.raises(TrainingRefused, match="no checkpoint"):
        effort_of(tmp_path)


def test_the_learning_rate_warms_up_and_falls_to_a_fiftieth():
    recipe = TinyRecipe()
    rates = [learning_rate(recipe, step) for step in range(recipe.steps)]
    top = rates.index(max(rates))
    assert top in (recipe.warmup - 1, recipe.warmup)
    assert rates[top] == pytest.approx(recipe.learning_rate)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] == pytest.approx(recipe.learning_rate / 50, rel=0.01)


def test_the_recipe_survives_json_and_refuses_what_cannot_be():
    import json

    assert TinyRecipe.from_dict(json.loads(json.dumps(MICRO.as_dict()))) == MICRO
    with pytest.raises(ValueError, match="multiple of heads"):
        TinyRecipe(hidden=100, heads=3)
    with pytest.raises(ValueError, match="at least 1"):
        TinyRecipe(steps=0)


def test_shares_of_kinds_change_evenly_and_sum_to_one():
    recipe = TinyRecipe()
    assert recipe.shares(0) == recipe.first_shares
    assert recipe.shares(-1) == pytest.approx(recipe.last_shares)
    for step in range(0, recipe.steps, 500):
        assert sum(recipe.shares(step)) == pytest.approx(1)


def test_a_step_without_any_answer_leaves_the_weights_numbers(tmp_path, monkeypatch):
    """Rows too short for a single conversation once gave a mean over nothing, and weights that were no numbers."""
    monkeypatch.setattr("fine_tuning.tiny.packing.Row.add", lambda *_: False)
    train(replace(MICRO, steps=1), tmp_path)
    assert all(torch.isfinite(weight).all() for weight in weights(tmp_path).values())
