"""The gate before a trained model: its parity check, and its scores against the active one's, question by question.

Scores are those of the manifests: `metrics.questions` maps a question's id to `{"exact", "f1", "group"}`; where the
active model is the one that the adapter was trained on, `metrics.base_questions` may hold its. Parity is `parity.faults`, a
list of sentences, or `parity.passed`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator_core.errors import Conflict
from orchestrator_core.models.registry import Version

if TYPE_CHECKING:
    from fine_tuning.statistics import Comparison


def check(active: Version | None, following: Version) -> None:
    """
    Args:
        active: None: none of the registry's answers, so there is nothing to compare with.

    Raises:
        Conflict (`gate_refused`): `following` was trained, and failed its parity check or may be worse.
    """
    manifest = following.manifest
    if not (manifest.recipe or manifest.dataset_sha256 or manifest.metrics or manifest.parity):
        return  # as it came from its makers
    from fine_tuning.gate import judge

    verdict = judge(_comparison(active, following), parity_faults=_faults(manifest.parity))
    if not verdict.accepted:
        raise Conflict(
            f"{following.reference} is refused. {' '.join(verdict.reasons)}", code="gate_refused",
            hint="To activate it all the same: --force",
        )  # fmt: skip


def _faults(parity: Mapping[str, Any]) -> list[str]:
    faults = parity.get("faults")
    if isinstance(faults, list) and faults:
        return [str(fault) for fault in faults]
    return ["It failed its parity check."] if parity.get("passed") is False else []


def _comparison(active: Version | None, following: Version) -> Comparison | None:
    if active is None:
        return None
    from fine_tuning.statistics import compare

    metrics = following.manifest.metrics
    mine, others = _scores(metrics, "questions"), _scores(active.manifest.metrics, "questions")
    if not others and following.manifest.base == active.reference:
        others = _scores(metrics, "base_questions")
    shared = sorted(mine.keys() & others.keys())
    return compare(
        [mine[each][0] for each in shared],
        [others[each][0] for each in shared],
        [mine[each][1] for each in shared],
        [others[each][1] for each in shared],
        [mine[each][2] for each in shared],
    )


def _scores(metrics: Mapping[str, Any], field: str) -> dict[str, tuple[float, float, str]]:
    """Exact match, F1 and group by question; what has another shape counts as no score."""
    questions = metrics.get(field)
    scores = {}
    for question, score in questions.items() if isinstance(questions, dict) else ():
        try:
            scores[question] = (float(score["exact"]), float(score["f1"]), str(score.get("group", question)))
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return scores
