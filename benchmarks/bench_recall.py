"""How much of what was said is found again: recall of search over long dialogues.

    python benchmarks/bench_recall.py benchmarks/data/recall_dev.json
    python benchmarks/bench_recall.py FILE.json --model embedder.gguf     # and with embeddings
    python benchmarks/bench_recall.py FILE.json --ablations               # and without each part
    python benchmarks/bench_recall.py FILE.json --turns 10000             # among that many more turns
    python benchmarks/bench_recall.py FILE.json ... --together            # all dialogues as one memory

FILE holds `{"sessions": [{"id", "date", "turns": [{"id", "speaker", "text"}]}],
"questions": [{"question", "evidence": [turn ids]}]}`, or a list of such; each one is searched
by itself. Recall@k is the part of a question's evidence among the first k turns, averaged
over all questions of the file. "Shown" is its part among the five that a model would be shown, for which they must
fit well enough; "strangers" the part of the other dialogues' questions for which something would be.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import psutil
from measuring import console, describe_run, middle, show
from orchestrator_core.backends.gguf_embedder import GgufEmbedder
from orchestrator_core.settings import Settings
from shared_context.retrieval import vocabulary
from shared_context.retrieval.dates import day_in
from shared_context.retrieval.embedding import BATCH
from shared_context.retrieval.fusion import Vectors, blended
from shared_context.retrieval.index import PassageIndex
from shared_context.retrieval.passages import Passage, pieces
from shared_context.retrieval.question import Question, words_in
from shared_context.retrieval.recall import NEAR_LOOKED_AT, NEAR_WEIGHT, worth_showing
from shared_context.retrieval.scoring import Weights

DEPTHS = (5, 10, 20, 50)
SHOWN = 5
Dialogue = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Args:
        turns: ids, best first.
        shown: those of them that fit well enough to be shown to a model; None where nothing judges that.
    """

    turns: list[str]
    shown: list[str] | None = None


Search = Callable[[str], Answer]
MakeSearch = Callable[[Dialogue, Path], Search]


def bm25(*, prepared: bool = False) -> MakeSearch:
    """FTS5's own ranking over the turns' texts, any word of the question.

    Args:
        prepared: with Porter's stems, and without the question words in the question.
    """

    def make(dialogue: Dialogue, folder: Path) -> Search:
        turns = [turn for session in dialogue["sessions"] for turn in session["turns"]]
        connection = sqlite3.connect(folder / "bm25.db")
        stems = ", tokenize = 'porter unicode61'" if prepared else ""
        connection.execute(f"CREATE VIRTUAL TABLE turns USING fts5 (text{stems})")
        connection.executemany("INSERT INTO turns VALUES (?)", [(turn["text"],) for turn in turns])
        connection.commit()

        def search(question: str) -> Answer:
            words = re.findall(r"\w+", question)
            if prepared:
                words = [word for word in words if word.lower() not in vocabulary.EMPTY_WORDS] or words
            expression = " OR ".join(f'"{word}"' for word in words)
            query = "SELECT rowid FROM turns WHERE turns MATCH ? ORDER BY rank LIMIT ?"
            rows = connection.execute(query, (expression, DEPTHS[-1]))
            return Answer([turns[row[0] - 1]["id"] for row in rows])

        return search

    return make


def ours(weights: Weights | None = None, embeddings: Embeddings | None = None) -> MakeSearch:
    """The search of the product; the speakers' names stand for their words."""

    def make(dialogue: Dialogue, folder: Path) -> Search:
        index = PassageIndex(folder / "ours.db", weights)
        index.change(list(_passages(dialogue)), [], {})
        speakers = {word: one.speaker for one in _passages(dialogue) for word in words_in(one.speaker)}
        vectors = None if embeddings is None else embeddings.vectors(index)

        def search(question: str) -> Answer:
            found = index.find(Question(question, speakers=speakers), 2 * DEPTHS[-1])
            scores = {scored.position: scored.score for _, scored in found}
            covered = {scored.position: scored.coverage for _, scored in found}
            standings: dict[int, float] = {}
            if embeddings is not None and vectors is not None:
                (wanted,) = embeddings.embedder.embed([question])
                standings = dict(vectors.nearest(wanted, NEAR_LOOKED_AT))
            ranking = [position for position, _ in blended(scores, standings, NEAR_WEIGHT)][: 4 * DEPTHS[-1]]
            items = {position: passage.item for position, passage in index.passages(ranking).items()}
            shown = [at for at in ranking if worth_showing(covered.get(at, 0.0), standings.get(at, 0.0))]
            turns, fitting = (list(dict.fromkeys(items[at] for at in some)) for some in (ranking, shown))
            return Answer(turns[: DEPTHS[-1]], fitting[:SHOWN])

        return search

    return make


class Embeddings:
    """Makes the vectors of dialogues, each once, and measures what that costs."""

    def __init__(self, embedder: GgufEmbedder) -> None:
        self.embedder = embedder
        self.seconds = 0.0
        self.made = 0

    def vectors(self, index: PassageIndex) -> Vectors[int]:
        begun, vectors = time.perf_counter(), Vectors[int]()
        while found := index.without_vector(BATCH):
            made = self.embedder.embed([text for _, text in found])
            index.put_vectors(
                [(at, vectors.put(at, vector)) for (at, _), vector in zip(found, made, strict=True)]
            )
            self.made += len(found)
        self.seconds += time.perf_counter() - begun
        return vectors

    def tell(self) -> None:
        process = psutil.Process(self.embedder.pid)
        console.print(
            f"Vectors: {self.made} turns, {1000 * self.seconds / max(1, self.made):.1f} ms each; "
            f"the model's process has {process.memory_info().rss / 2**20:.0f} MiB resident."
        )


def _passages(dialogue: Dialogue) -> Iterator[Passage]:
    for session in dialogue["sessions"]:
        thread, date = str(session["id"]), day_in(str(session.get("date") or ""))
        for number, turn in enumerate(session["turns"]):
            # Turns of one session need not have times; their order is kept.
            at = f"{date}T{number:06}"
            for part, text in enumerate(pieces(turn["text"])):
                yield Passage("message", turn["id"], part, thread, turn["speaker"].lower(), at, text)


@contextmanager
def without_synonyms() -> Iterator[None]:
    """Leaves out the table of kindred words and irregular forms, for an ablation."""
    kept = dict(vocabulary.SYNONYMS), dict(vocabulary.FORMS)
    vocabulary.SYNONYMS.clear()
    vocabulary.FORMS.clear()
    try:
        yield
    finally:
        vocabulary.SYNONYMS.update(kept[0])
        vocabulary.FORMS.update(kept[1])


@dataclass(slots=True)
class Measured:
    recalls: list[list[float]] = field(default_factory=lambda: [[] for _ in DEPTHS])
    shown: list[float] = field(default_factory=list)
    strangers: list[bool] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """Milliseconds of each query."""

    def row(self, name: str) -> list[str]:
        return [
            name,
            *(_mean(values) for values in self.recalls),
            _mean(self.shown),
            _mean(self.strangers),
            f"{middle(self.times):.1f}",
            f"{max(self.times, default=0):.1f}",
        ]


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.3f}" if values else ""


def measure(make: MakeSearch, dialogues: Sequence[Dialogue]) -> Measured:
    found = Measured()
    for dialogue in dialogues:
        with tempfile.TemporaryDirectory() as folder:
            search = make(dialogue, Path(folder))
            search("warm up")
            for question in dialogue["questions"]:
                evidence = set(question["evidence"])
                if not evidence:
                    continue
                start = time.perf_counter()
                answer = search(question["question"])
                found.times.append(1000 * (time.perf_counter() - start))
                for depth, values in zip(DEPTHS, found.recalls, strict=True):
                    values.append(len(evidence & set(answer.turns[:depth])) / len(evidence))
                if answer.shown is not None:
                    found.shown.append(len(evidence & set(answer.shown)) / len(evidence))
            for other in dialogues:
                if other is not dialogue:
                    strangers = [search(one["question"]).shown for one in other["questions"]]
                    found.strangers += [bool(shown) for shown in strangers if shown is not None]
    return found


def together(dialogues: Sequence[Dialogue]) -> Dialogue:
    """All dialogues as one memory, as they would lie in the product's."""
    joined: Dialogue = {"sessions": [], "questions": []}
    for number, one in enumerate(dialogues):
        for session in one["sessions"]:
            turns = [{**turn, "id": f"{number} {turn['id']}"} for turn in session["turns"]]
            joined["sessions"].append({**session, "id": f"{number} {session['id']}", "turns": turns})
        for asked in one["questions"]:
            evidence = [f"{number} {turn}" for turn in asked["evidence"]]
            joined["questions"].append({**asked, "evidence": evidence})
    return joined


def padded(dialogue: Dialogue, turns: int) -> Dialogue:
    """The dialogue among `turns` more turns: the dialogue's own words, shuffled."""
    own = [turn["text"].split() for session in dialogue["sessions"] for turn in session["turns"]]
    words = [word for text in own for word in text]
    chance = random.Random(0)
    sessions = [
        {
            "id": f"padding {start}",
            "date": "2020-01-01",
            "turns": [
                {
                    "id": f"padding {start + number}",
                    "speaker": ("anna", "ben")[number % 2],
                    "text": " ".join(chance.choices(words, k=len(chance.choice(own)))),
                }
                for number in range(20)
            ],
        }
        for start in range(0, turns, 20)
    ]
    return {**dialogue, "sessions": [*sessions, *dialogue["sessions"]]}


ABLATIONS = {
    "without neighbours": {"before": 0.0, "after": 0.0, "second": 0.0},
    "without the session": {"thread": 0.0},
    "without speakers": {"speaker": 0.0},
    "without the kind of answer": {"kind": 0.0, "asking": 0.0},
    "without dates": {"period": 0.0},
}


@click.command()
@click.argument(
    "files", type=click.Path(exists=True, dir_okay=False, path_type=Path), nargs=-1, required=True
)
@click.option("--model", type=click.Path(exists=True, path_type=Path), help="GGUF that makes embeddings.")
@click.option("--ablations", is_flag=True, help="Also ours without each of its parts.")
@click.option("--together", "joined", is_flag=True, help="All dialogues as one memory.")
@click.option("--turns", type=click.IntRange(0, 1_000_000), default=0, help="Other turns to search among.")
def main(files: tuple[Path, ...], model: Path | None, ablations: bool, joined: bool, turns: int) -> None:
    """Recall and time of search over the dialogues in FILES."""
    describe_run()
    console.print(f"SQLite    {sqlite3.sqlite_version}\n")
    dialogues: list[Dialogue] = []
    for file in files:
        data = json.loads(file.read_text("utf-8"))
        dialogues += data if isinstance(data, list) else [data]
    if joined:
        dialogues = [together(dialogues)]
    sizes = [sum(len(session["turns"]) for session in one["sessions"]) for one in dialogues]
    questions = sum(len(one["questions"]) for one in dialogues)
    if turns:
        dialogues = [padded(one, turns) for one in dialogues]
    rows = [
        measure(bm25(), dialogues).row("BM25 alone"),
        measure(bm25(prepared=True), dialogues).row("BM25 of stems, without question words"),
        measure(ours(), dialogues).row("ours"),
    ]
    if model is not None:
        with closing(GgufEmbedder(model, Settings())) as embedder:
            embeddings = Embeddings(embedder)
            rows.append(measure(ours(embeddings=embeddings), dialogues).row("ours with embeddings"))
            embeddings.tell()
    if ablations:
        for name, changes in ABLATIONS.items():
            rows.append(measure(ours(replace(Weights(), **changes)), dialogues).row(name))
        with without_synonyms():
            rows.append(measure(ours(), dialogues).row("without synonyms and irregular forms"))
    title = (
        f"{', '.join(file.name for file in files)}: {questions} questions over {', '.join(map(str, sizes))} turns"
        + (f", each among {turns:,} others" if turns else "")
    )
    columns = ["", *(f"@{depth}" for depth in DEPTHS), "shown", "strangers", "ms per query", "worst"]
    show(title, columns, rows)
    if model is None:
        console.print("Embeddings were not measured: name a model that makes them (--model).")


if __name__ == "__main__":
    main()
