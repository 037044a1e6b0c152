"""The gate before a trained model: its parity check, and its evaluations against the active one's, question by question.

Evaluations are those that `orchestrator eval` keeps beside a version, parity is what the export noted in `parity.json`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from orchestrator_core.errors import Conflict
from orchestrator_core.models.version import Version

if TYPE_CHECKING:
    from fine_tuning.evaluation.results import Evaluation
    from fine_tuning.evaluation.statistics import Comparison

BESIDE_BASE = "base + adapter"
"""How the export calls an adapter that it compared beside its base."""


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
    from fine_tuning.evaluation.gate import judge

    comparison = None if active is None else _comparison(active, following)
    verdict = judge(comparison, parity_faults=list(_faults(following)))
    if not verdict.accepted:
        raise Conflict(
            f"{following.reference} is refused. {' '.join(verdict.reasons)}", code="gate_refused",
            hint="Evaluate both: `orchestrator eval DATASET -m NAME:VERSION`. To activate it all the same: --force",
        )  # fmt: skip


def _faults(version: Version) -> Iterator[str]:
    """What the export found wrong with the file of this version."""
    manifest = version.manifest
    rows = [manifest.parity.get(name) for name in (manifest.main_file, manifest.base and BESIDE_BASE) if name]
    for row in rows:
        if not isinstance(row, dict) or row.get("passed") is not False:
            continue
        kl = row.get("kl")
        if kl is None:
            yield "Its export ended before the parity check: export it again."
            continue
        measured = f" (KL divergence {kl:.3g})" if isinstance(kl, float) and math.isfinite(kl) else ""
        yield f"It failed its parity check: it is not the model that was trained{measured}."


def _comparison(active: Version, following: Version) -> Comparison:
    """The latest evaluations of both on the same questions; of no question where there are none."""
    from fine_tuning.errors import EvaluationError
    from fine_tuning.evaluation.results import compared
    from fine_tuning.evaluation.statistics import compare

    others = _evaluations(active)
    for mine in _evaluations(following):
        for other in others:
            if (mine.eval_file, mine.setting) == (other.eval_file, other.setting):
                try:
                    return compared(mine, other)
                except EvaluationError:
                    continue
    return compare([], [], [], [])


def _evaluations(version: Version) -> list[Evaluation]:
    """The newest first."""
    from fine_tuning.errors import EvaluationError
    from fine_tuning.evaluation.results import kept

    evaluations = []
    for path in version.evaluations.glob("*.json"):
        try:
            evaluations.append(kept(path))
        except EvaluationError:
            continue
    return sorted(evaluations, key=lambda evaluation: evaluation.at, reverse=True)
