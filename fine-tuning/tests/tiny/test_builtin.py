"""The shipped model, run in llama.cpp: what the model card promises must hold for the file in the repository."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from fine_tuning.evaluation.answerers import CHAT_DEFAULTS, GgufAnswerer
from fine_tuning.evaluation.evaluate import item_of, overall, run, sample
from fine_tuning.tiny.recipe import TinyRecipe
from fine_tuning.tiny.training import dataset_of

BUILTIN = Path(__file__).parents[2] / "builtin"
FILE = BUILTIN / "orchestrator-tiny.gguf"
ABOUT = json.loads((BUILTIN / "orchestrator-tiny.json").read_text("utf-8"))
HELD_OUT = [item_of(example) for example in dataset_of(TinyRecipe.from_dict(ABOUT["recipe"])).val]


@pytest.fixture(scope="module")
def model():
    opened = GgufAnswerer(FILE, threads=2)
    yield opened
    opened.close()


def test_the_file_is_the_one_the_card_describes():
    content = FILE.read_bytes()
    assert len(content) == ABOUT["bytes"] <= 16_000_000
    assert hashlib.sha256(content).hexdigest() == ABOUT["sha256"]
    assert ABOUT["sha256"] in (BUILTIN / "MODEL_CARD.md").read_text("utf-8")


def test_there_is_one_model_only():
    """The backend takes the one GGUF of this folder."""
    assert [path.name for path in BUILTIN.glob("*.gguf")] == [FILE.name]


@pytest.mark.slow
@pytest.mark.parametrize(("setting", "count"), [("bare", 120), ("server", 80), ("documents", 60)])
def test_held_out_wordings_are_answered_as_promised(model, setting, count):
    scores = overall(run(model, sample(HELD_OUT, count, seed=3), setting))
    assert scores.count == count
    assert scores.f1 >= 0.60, scores


@pytest.mark.slow
def test_a_chats_default_sampling_keeps_the_answers(model):
    scores = overall(run(model, sample(HELD_OUT, 150, seed=5), "server", sampling=CHAT_DEFAULTS))
    assert scores.f1 >= 0.50, scores


def test_it_ends_its_answers_by_itself(model):
    said = model.answer("What is the four-tier handoff?", max_tokens=200)
    assert "PORTFOLIO_CONTEXT.md" in said
    assert "[INST]" not in said
    assert len(said.split()) < 60


def test_it_says_so_when_it_does_not_know(model):
    said = model.answer("What is the capital of Australia?")
    assert "I don't know" in said or "I can't" in said
