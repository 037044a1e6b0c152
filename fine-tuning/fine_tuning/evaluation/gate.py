"""May a new model take the place of the active one? A pure decision; nothing is activated here.

Covered: an export that is not the model that was trained, and a model that may be worse than the
active one by more than the margin. Not covered: whether answers outside the questions are any good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fine_tuning.evaluation.statistics import Comparison

MARGIN = 0.05
"""Loss of F1 that is accepted; a smaller one takes thousands of questions to rule out."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Args:
        accepted: whether the model may be activated.
        reasons: why not, or what an accepted one was measured by; whole sentences.
        forced: accepted although there are reasons against it.
    """

    accepted: bool
    reasons: tuple[str, ...]
    forced: bool = False


def judge(
    comparison: Comparison | None,
    *,
    parity_faults: Sequence[str] = (),
    margin: float = MARGIN,
    force: bool = False,
) -> Verdict:
    """Refuses what failed parity, and what may be worse than the active model by more than `margin`.

    Args:
        comparison: candidate minus active model on held-out questions; None: no model is active.
        parity_faults: what `parity` found wrong with the exported files, one sentence each.
        margin: between 0 and 1.
        force: accept in spite of everything; the reasons stay in the verdict.

    Raises:
        ValueError: the margin is not in 0 ≤ margin ≤ 1.
    """
    if not 0 <= margin <= 1:
        raise ValueError(f"The margin must be between 0 and 1, not {margin}.")
    against = [*parity_faults, *_worse(comparison, margin)]
    if against:
        return Verdict(force, tuple(against), forced=force)
    return Verdict(True, (_accepted(comparison, margin),))


def _worse(comparison: Comparison | None, margin: float) -> list[str]:
    if comparison is None or (comparison.count and comparison.f1_lower_bound >= -margin):
        return []
    if not comparison.count:
        return ["No question was compared: evaluate both models on the same held-out questions."]
    reason = (
        f"F1 against the active model is {comparison.f1.mean:+.3f} on {comparison.count} questions and may be as "
        f"low as {comparison.f1_lower_bound:+.3f}; {-margin:+.3f} is the limit."
    )
    smallest = comparison.smallest_f1
    if comparison.f1.high > 0 and smallest is not None and smallest > margin:
        reason += f" So few questions only show differences from {smallest:.3f} on"
        # Halving the difference takes four times the questions; beyond a million nobody has them.
        needed = comparison.count * (smallest / max(margin, 1e-6)) ** 2
        reason += f"; about {math.ceil(needed)} would show {margin:.3f}." if needed < 1e6 else "."
    return [reason]


def _accepted(comparison: Comparison | None, margin: float) -> str:
    if comparison is None:
        return "No model is active, so there was nothing to compare with."
    return (
        f"F1 against the active model is {comparison.f1.mean:+.3f} on {comparison.count} questions, and not below "
        f"{comparison.f1_lower_bound:+.3f}; {-margin:+.3f} is the limit."
    )
