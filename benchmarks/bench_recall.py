"""How much of what was said is found again: recall of search over long dialogues.

    python benchmarks/bench_recall.py benchmarks/data/recall_dev.json
    python benchmarks/bench_recall.py FILE.json --model embedder.gguf     # and with an embedding model
    python benchmarks/bench_recall.py FILE.json --ablations               # and without each part
    python benchmarks/bench_recall.py FILE.json --turns 10000             # among that many more turns
    python benchmarks/bench_recall.py FILE.json ... --together            # all dialogues as one memory

FILE holds `{"sessions": [{"id", "date", "turns": [{"id", "speaker", "text"}]}],
"questions": [{"question", "evidence": [turn ids]}]}`, or a list of such; each one is searched
by itself. Recall@k is the part of a question's evidence among the first k turns, averaged
over all questions of the file; "any" and "all" are the questions of which some or all of the evidence is among the first
five, and "sessions" the same with whole sessions instead of turns, as LongMemEval counts.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
from measuring import console, describe_run, middle, show
from orchestrator_core.backends.gguf_embedder import GgufEmbedder
from orchestrator_core.settings import Settings
from shared_context.retrieval import encoder
from shared_context.retrieval.dates import day_in
from shared_context.retrieval.embedding import BATCH, BATCH_AT_ONCE
from shared_context.retrieval.encoder import Encoder
from shared_context.retrieval.fusion import Embedder, Vectors
from shared_context.retrieval.index import PassageIndex
from shared_context.retrieval.passages import Passage, pieces
from shared_context.retrieval.question import Question
from shared_context.retrieval.recall import NEAR_LOOKED_AT
from shared_context.retrieval.scoring import DEFAULT_WEIGHTS, Weights
from shared_context.retrieval.segments import words_in
from shared_context.retrieval.static_vectors import StaticEmbedder
from shared_context.retrieval.stopwords import stopwords_of

DEPTHS = (5, 10, 20, 50)
FEW = 5
"""Turns, or sessions, of the columns that count questions."""
Dialogue = dict[str, Any]
Ranking = list[str]
Search = Callable[[str], Ranking]
MakeSearch = Callable[[Dialogue, Path], Search]


def bm25(*, prepared: bool = False) -> MakeSearch:
    """FTS5's own ranking over the turns' texts and speakers, any word of the question.

    Args:
        prepared: with Porter's stems, and without the question words in the question.
    """

    def make(dialogue: Dialogue, folder: Path) -> Search:
        turns = [turn for session in dialogue["sessions"] for turn in session["turns"]]
        connection = sqlite3.connect(folder / "bm25.db")
        stems = ", tokenize = 'porter unicode61'" if prepared else ""
        connection.execute(f"CREATE VIRTUAL TABLE turns USING fts5 (speaker, text{stems})")
        rows = [(turn["speaker"], turn["text"]) for turn in turns]
        connection.executemany("INSERT INTO turns VALUES (?, ?)", rows)
        connection.commit()

        def search(question: str) -> Ranking:
            words = re.findall(r"\w+", question)
            if prepared:
                empty = stopwords_of([word.lower() for word in words])
                words = [word for word in words if word.lower() not in empty] or words
            expression = " OR ".join(f'"{word}"' for word in words)
            query = "SELECT rowid FROM turns WHERE turns MATCH ? ORDER BY rank LIMIT ?"
            rows = connection.execute(query, (expression, DEPTHS[-1]))
            return [turns[row[0] - 1]["id"] for row in rows]

        return search

    return make


def ours(weights: Weights | None = None, embeddings: Embeddings | None = None) -> MakeSearch:
    """The search of the product; the speakers' names stand for their words."""

    def make(dialogue: Dialogue, folder: Path) -> Search:
        index = PassageIndex(folder / "ours.db", weights)
        index.change(list(_passages(dialogue)), [], {})
        speakers = {word: one.speaker for one in _passages(dialogue) for word in words_in(one.speaker)}
        vectors = None if embeddings is None else embeddings.vectors(index)

        def search(question: str) -> Ranking:
            near: dict[int, float] = {}
            if embeddings is not None and vectors is not None:
                (wanted,) = embeddings.ask([question])
                near = dict(vectors.nearest(wanted, NEAR_LOOKED_AT))
            found = index.find(Question(question, speakers=speakers), 4 * DEPTHS[-1], None, near)
            return list(dict.fromkeys(passage.item for passage, _ in found))[: DEPTHS[-1]]

        return search

    return make


class Embeddings:
    """Makes the vectors of dialogues, each once, and measures what that costs."""

    def __init__(
        self,
        embedder: Embedder,
        batch: int = BATCH,
        *,
        with_before: bool = True,
        ask: Callable[[Sequence[str]], Any] | None = None,
    ) -> None:
        self.embedder = embedder
        self.ask = ask or embedder.embed
        self._batch = batch
        self._with_before = with_before
        self.seconds = 0.0
        self.made = 0

    def vectors(self, index: PassageIndex) -> Vectors[int]:
        begun, vectors = time.perf_counter(), Vectors[int]()
        while found := index.without_vector(self._batch, with_before=self._with_before):
            made = self.embedder.embed([text for _, text in found])
            index.put_vectors(
                [(at, vectors.put(at, vector)) for (at, _), vector in zip(found, made, strict=True)]
            )
            self.made += len(found)
        self.seconds += time.perf_counter() - begun
        return vectors

    def tell(self) -> None:
        console.print(f"Vectors: {self.made} turns, {1000 * self.seconds / max(1, self.made):.2f} ms each.")


def _passages(dialogue: Dialogue) -> Iterator[Passage]:
    for session in dialogue["sessions"]:
        thread, date = str(session["id"]), day_in(str(session.get("date") or ""))
        for number, turn in enumerate(session["turns"]):
            # Turns of one session need not have times; their order is kept.
            at = f"{date}T{number:06}"
            for part, text in enumerate(pieces(turn["text"])):
                yield Passage("message", turn["id"], part, thread, turn["speaker"].lower(), at, text)


@dataclass(slots=True)
class Measured:
    recalls: list[list[float]] = field(default_factory=lambda: [[] for _ in DEPTHS])
    any_turns: list[float] = field(default_factory=list)
    all_turns: list[float] = field(default_factory=list)
    any_sessions: list[float] = field(default_factory=list)
    all_sessions: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """Milliseconds of each query."""

    def note(self, ranking: Ranking, evidence: set[str], session_of: dict[str, str]) -> None:
        for depth, values in zip(DEPTHS, self.recalls, strict=True):
            values.append(len(evidence & set(ranking[:depth])) / len(evidence))
        turns = set(ranking[:FEW])
        self.any_turns.append(bool(evidence & turns))
        self.all_turns.append(evidence <= turns)
        wanted = {session_of[turn] for turn in evidence}
        sessions = set(list(dict.fromkeys(session_of[turn] for turn in ranking))[:FEW])
        self.any_sessions.append(bool(wanted & sessions))
        self.all_sessions.append(wanted <= sessions)

    def row(self, name: str) -> list[str]:
        counted = (self.any_turns, self.all_turns, self.any_sessions, self.all_sessions)
        return [
            name,
            *(_mean(values) for values in (*self.recalls, *counted)),
            f"{middle(self.times):.1f}",
            f"{max(self.times, default=0):.1f}",
        ]


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.3f}" if values else ""


def measure(make: MakeSearch, dialogues: Sequence[Dialogue]) -> Measured:
    measured = Measured()
    for dialogue in dialogues:
        sessions = dialogue["sessions"]
        session_of = {turn["id"]: str(session["id"]) for session in sessions for turn in session["turns"]}
        with tempfile.TemporaryDirectory() as folder:
            search = make(dialogue, Path(folder))
            search("warm up")
            for question in dialogue["questions"]:
                evidence = set(question["evidence"])
                if not evidence:
                    continue
                start = time.perf_counter()
                ranking = search(question["question"])
                measured.times.append(1000 * (time.perf_counter() - start))
                measured.note(ranking, evidence, session_of)
    return measured


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
@click.option("--encoder", "with_encoder", is_flag=True, help="Also with `context.embeddings: encoder`.")
@click.option("--ablations", is_flag=True, help="Also ours without each of its parts.")
@click.option("--together", "joined", is_flag=True, help="All dialogues as one memory.")
@click.option("--turns", type=click.IntRange(0, 1_000_000), default=0, help="Other turns to search among.")
def main(
    files: tuple[Path, ...],
    model: Path | None,
    with_encoder: bool,
    ablations: bool,
    joined: bool,
    turns: int,
) -> None:
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
        measure(bm25(prepared=True), dialogues).row("BM25 of stems, without stopwords"),
        measure(ours(), dialogues).row("ours, words only"),
    ]
    static = StaticEmbedder.installed()
    by_default = None if static is None else Embeddings(static, BATCH_AT_ONCE, with_before=False)
    if by_default is not None:
        rows.append(measure(ours(embeddings=by_default), dialogues).row("ours"))
        by_default.tell()
    if with_encoder:
        with closing(Encoder()) as multilingual:
            embeddings = Embeddings(multilingual, with_before=False, ask=multilingual.embed_question)
            weights = replace(DEFAULT_WEIGHTS, meaning=encoder.MEANING)
            rows.append(measure(ours(weights, embeddings), dialogues).row("ours with the encoder"))
            embeddings.tell()
    if model is not None:
        with closing(GgufEmbedder(model, Settings())) as embedder:
            embeddings = Embeddings(embedder)
            rows.append(measure(ours(embeddings=embeddings), dialogues).row(f"ours with {model.stem}"))
            embeddings.tell()
    if ablations:
        for name, changes in ABLATIONS.items():
            rows.append(measure(ours(replace(Weights(), **changes), by_default), dialogues).row(name))
    title = (
        f"{', '.join(file.name for file in files)}: {questions} questions over {', '.join(map(str, sizes))} turns"
        + (f", each among {turns:,} others" if turns else "")
    )
    columns = ["", *(f"@{depth}" for depth in DEPTHS), "any", "all", "any s.", "all s.", "ms", "worst"]
    show(title, columns, rows)


if __name__ == "__main__":
    main()
