"""Finds statements that last: what somebody says about themselves that bears on any later answer.

"I am allergic to nuts" shares no word with "Suggest a dessert" and is hardly near it in meaning. A linear model
over the passage's vector tells such a sentence from one that passes; `benchmarks/lasting_weights.py` learnt it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WEIGHTS = Path(__file__).with_name("lasting_weights.json")

SURE = 3.0
"""Log odds; what is surer than that is told apart by its nearness to the question."""


@dataclass(frozen=True, slots=True)
class LastingModel:
    """
    Args:
        weights: one for each number of a vector of length 1.
        bias: their sum with it is the log odds.
    """

    weights: Any
    bias: float

    @classmethod
    def of(cls, embedder: str) -> LastingModel | None:
        """The one for vectors of this embedder; None where none was learnt."""
        learnt = json.loads(WEIGHTS.read_text("utf-8")).get(embedder)
        if learnt is None:
            return None
        import numpy  # slow to import, and many a process has no vectors

        return cls(numpy.asarray(learnt["weights"], numpy.float32), learnt["bias"])

    def order(self, sums: Any, standing: Any) -> Any:
        """How much each of several passages matters to a question; minus infinity for those that rather pass.

        Args:
            sums: of each passage's vector, weighted.
            standing: of each passage beside the question, see `Vectors.standing`.
        """
        import numpy

        odds = sums + self.bias
        return numpy.where(odds > 0, numpy.minimum(odds, SURE) + standing, -numpy.inf)
