"""Results of evaluations as files, one a run: kept, compared question by question, drawn as a curve."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fine_tuning.errors import EvaluationError
from fine_tuning.evaluation.evaluate import Answered, Item, by, overall
from fine_tuning.evaluation.metrics import Scores, exact_match, f1
from fine_tuning.evaluation.statistics import Comparison, Interval, bootstrap, compare

PLOT = "evaluations.png"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model's answers to one set of questions.

    Args:
        model: its name for people.
        eval_file: name of the file of questions.
        setting: what stood around each question.
        at: when, ISO 8601 UTC.
        answered: every question with its answer.
        perplexity: of the right answers; None where the backend could not tell.
    """

    model: str
    eval_file: str
    setting: str
    at: str
    answered: tuple[Answered, ...]
    perplexity: float | None = None

    @property
    def scores(self) -> Scores:
        return overall(self.answered)

    @property
    def f1(self) -> Interval:
        return bootstrap(_f1s(self.answered), _groups(self.answered))

    @property
    def exact_match(self) -> Interval:
        return bootstrap(_exact(self.answered), _groups(self.answered))

    def summary(self) -> dict[str, Any]:
        """All figures, without the questions."""
        return {
            "model": self.model,
            "eval_file": self.eval_file,
            "setting": self.setting,
            "at": self.at,
            **asdict(self.scores),
            "exact_match_interval": asdict(self.exact_match),
            "f1_interval": asdict(self.f1),
            "perplexity": self.perplexity,
            "topics": {
                name: asdict(scores) | {"f1_interval": asdict(self._f1_of(name))}
                for name, scores in by(self.answered, "topic").items()
            },
        }

    def _f1_of(self, topic: str) -> Interval:
        rows = [row for row in self.answered if row.item.topic == topic]
        return bootstrap(_f1s(rows), _groups(rows))


def evaluation(
    model: str, eval_file: str, setting: str, answered: Sequence[Answered], perplexity: float | None = None
) -> Evaluation:
    """One made now."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    return Evaluation(model, eval_file, setting, moment, tuple(answered), perplexity)


def keep(result: Evaluation, folder: Path) -> Path:
    """Write it to a file of its own in `folder`, whole or not at all.

    Raises:
        OSError
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in result.model)[:80]
    stem = f"{result.at[:19].replace(':', '')}-{name}"
    taken = sum(1 for path in folder.glob("*.json") if path.stem.startswith(stem))
    path = folder / (f"{stem}-{taken + 1}.json" if taken else f"{stem}.json")
    content = {**result.summary(), "answers": [asdict(row) for row in result.answered]}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")
    part.replace(path)
    return path


def kept(path: Path) -> Evaluation:
    """One written by `keep`.

    Raises:
        EvaluationError: the file is none.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        answered = tuple(
            Answered(
                Item(**(row["item"] | {"earlier": tuple(map(tuple, row["item"]["earlier"]))})), row["answer"]
            )
            for row in content["answers"]
        )
        named = {name: content[name] for name in ("model", "eval_file", "setting", "at", "perplexity")}
        return Evaluation(**named, answered=answered)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{str(path)!r} is no kept evaluation: {error!r}") from error


def compared(candidate: Evaluation, other: Evaluation) -> Comparison:
    """Candidate minus other, on the questions that both were asked.

    Raises:
        EvaluationError: they were asked nothing in common, or in another setting.
    """
    if candidate.setting != other.setting:
        raise EvaluationError(
            f"{candidate.setting!r} and {other.setting!r} are compared: evaluate both in one setting."
        )
    theirs = {_asked(row): row for row in other.answered}
    pairs = [(row, theirs[_asked(row)]) for row in candidate.answered if _asked(row) in theirs]
    if not pairs:
        raise EvaluationError("The two evaluations have no question in common: use the same eval_file.")
    ours, others = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return compare(_exact(ours), _exact(others), _f1s(ours), _f1s(others), _groups(ours))


def plot(folder: Path) -> Path | None:
    """Draw EM and F1 of all evaluations in `folder`, in the order of time; None when there is none."""
    results = []
    for path in sorted(folder.glob("*.json")):
        try:
            results.append(kept(path))
        except EvaluationError:
            continue  # another program's file
    if not results:
        return None
    _draw(sorted(results, key=lambda result: result.at), folder / PLOT)
    return folder / PLOT


def _draw(results: Sequence[Evaluation], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(6.0, 1.2 * len(results)), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(ylabel="held-out score", ylim=(0, 1))
    for label, intervals in (("F1", [r.f1 for r in results]), ("EM", [r.exact_match for r in results])):
        means = [interval.mean for interval in intervals]
        errors = [
            [max(0.0, interval.mean - interval.low) for interval in intervals],
            [max(0.0, interval.high - interval.mean) for interval in intervals],
        ]
        axes.errorbar(range(len(means)), means, errors, marker="o", capsize=3, label=label)
    names = [f"{result.model}\n{result.at[:10]} {result.setting}" for result in results]
    axes.set_xticks(range(len(results)), names, rotation=30, ha="right", fontsize=8, parse_math=False)
    axes.legend()
    figure.savefig(path, dpi=100)


def _asked(row: Answered) -> tuple[object, ...]:
    return row.item.question, row.item.truth, row.item.earlier


def _groups(rows: Sequence[Answered]) -> list[object]:
    """Questions about one fact belong together; one without a fact stands alone."""
    return [row.item.fact or number for number, row in enumerate(rows)]


def _f1s(rows: Sequence[Answered]) -> list[float]:
    return [f1(row.answer, row.item.truth) for row in rows]


def _exact(rows: Sequence[Answered]) -> list[float]:
    return [exact_match(row.answer, row.item.truth) for row in rows]
