"""What the manifests say of two models decides whether one may follow the other."""

from pathlib import Path

import pytest
from ai_orchestrator.model_gate import check
from orchestrator_core.errors import Conflict
from orchestrator_core.models.manifest import Manifest, ModelFile
from orchestrator_core.models.registry import Version

FILE = {"m.gguf": ModelFile(size=1, sha256="0" * 64)}


def version(name, **fields):
    return Version(Manifest(name=name, version="1", files=FILE, **fields), Path("x"))


def scored(f1, count=200):
    return {"questions": {f"q{number}": {"exact": f1 > 0.9, "f1": f1} for number in range(count)}}


def refusal(active, following):
    with pytest.raises(Conflict) as caught:
        check(active, following)
    assert caught.value.code == "gate_refused"
    return caught.value.message


def test_what_was_not_trained_here_passes():
    check(version("old", metrics=scored(0.9)), version("new"))


def test_a_better_or_equal_one_passes_and_a_worse_one_does_not():
    old = version("old", metrics=scored(0.6))
    for f1 in (0.6, 0.8):
        check(old, version("new", metrics=scored(f1)))
    assert "F1 against the active model is -0.200" in refusal(old, version("new", metrics=scored(0.4)))


def test_a_failed_parity_check_is_refused_also_without_an_active_model():
    assert "KL divergence" in refusal(None, version("new", parity={"faults": ["The KL divergence is 3."]}))
    assert "parity" in refusal(None, version("new", parity={"passed": False}))
    check(None, version("new", parity={"passed": True}, metrics=scored(0.1)))


def test_without_questions_in_common_nothing_is_shown():
    for metrics in ({}, {"questions": 7}, {"questions": {"q1": 3, "q2": {"exact": None, "f1": "x"}}}):
        message = refusal(
            version("old", metrics=scored(0.5)), version("new", metrics=metrics, recipe={"a": 1})
        )
        assert "No question was compared" in message


def test_the_base_may_have_been_scored_beside_the_adapter():
    metrics = scored(0.8) | {"base_questions": scored(0.5)["questions"]}
    check(version("base"), version("new", base="base:1", metrics=metrics))
    refusal(version("other"), version("new", base="base:1", metrics=metrics))
