"""What was measured of two models decides whether one may follow the other."""

import pytest
from ai_orchestrator.model_gate import check
from fine_tuning.evaluation.evaluate import Answered, Item
from fine_tuning.evaluation.results import evaluation, keep
from orchestrator_core.errors import Conflict
from orchestrator_core.models.manifest import ModelFile, ModelManifest
from orchestrator_core.models.version import Version

FILE = {"m.gguf": ModelFile(size=1, sha256="0" * 64)}
QUESTIONS = 200


@pytest.fixture
def version(tmp_path):
    def make(name, right=None, setting="bare", **fields):
        """
        Args:
            right: share of the questions that were answered well; None: never evaluated.
        """
        made = Version(ModelManifest(name=name, version="1", files=FILE, **fields), tmp_path / name)
        if right is not None:
            rows = [
                Answered(Item(f"Question {number}?", "The truth", fact=f"fact {number}"),
                         "The truth" if number < right * QUESTIONS else "nonsense")
                for number in range(QUESTIONS)
            ]  # fmt: skip
            keep(evaluation(name, "val.jsonl", setting, rows), made.evaluations)
        return made

    return make


TRAINED = {"recipe": {"num_epochs": 3}}


def refusal(active, following):
    with pytest.raises(Conflict) as caught:
        check(active, following)
    assert caught.value.code == "gate_refused"
    return caught.value.message


def test_what_was_not_trained_here_passes(version):
    check(version("old", 0.9), version("new"))


def test_a_better_or_equal_one_passes_and_a_worse_one_does_not(version):
    old = version("old", 0.6)
    for name, right in (("equal", 0.6), ("better", 0.8)):
        check(old, version(name, right, **TRAINED))
    assert "F1 against the active model is -0.200" in refusal(old, version("worse", 0.4, **TRAINED))


def test_a_failed_parity_check_is_refused_also_without_an_active_model(version):
    failed = {"kl": 3.0, "passed": False}
    assert "KL divergence 3" in refusal(None, version("a", parity={"m.gguf": failed}))
    beside = {"base + adapter": {"kl": float("inf"), "passed": False}}
    assert "parity" in refusal(None, version("b", base="builtin", parity=beside))
    unfinished = {"m.gguf": {"passed": False}}
    assert "ended before the parity check" in refusal(None, version("u", parity=unfinished))
    check(None, version("c", parity={"m.gguf": {"passed": True}, "other.gguf": failed}))
    check(None, version("d", 0.0, **TRAINED))


def test_without_questions_in_common_nothing_is_shown(version):
    old = version("old", 0.5)
    assert "No question was compared" in refusal(old, version("never", **TRAINED))
    assert "No question was compared" in refusal(old, version("else", 0.9, setting="documents", **TRAINED))


def test_a_damaged_result_counts_as_none(version):
    old, new = version("old", 0.5), version("new", 0.5, **TRAINED)
    (new.evaluations / "x.json").write_text("{")
    check(old, new)
