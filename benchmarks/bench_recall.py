"""How much of what was said is found again: recall of search over long dialogues.

    python benchmarks/bench_recall.py benchmarks/data/recall_dev.json
    python benchmarks/bench_recall.py FILE.json --model embedder.gguf     # and with embeddings
    python benchmarks/bench_recall.py FILE.json --ablations               # and without each part
    python benchmarks/bench_recall.py FILE.json --turns 10000             # among that many more turns
    python benchmarks/bench_recall.py FILE.json ... --together            # all dialogues as one memory

FILE holds `{"sessions": [{"id", "date", "turns": [{"id", "speaker", "text"}]}],
"questions": [{"question", "evidence": [turn ids]}]}`, or a list of such; each one is searched
by itself. Recall@k is the part of a question's evidence among the first k turns, averaged
over all questions of the file.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from measuring import console, describe_run, middle, show
from shared_context.retrieval import vocabulary
from shared_context.retrieval.dates import day_in
from shared_context.retrieval.fusion import Embedder, Vectors, fused
from shared_context.retrieval.index import PassageIndex
from shared_context.retrieval.passages import Passage, pieces
from shared_context.retrieval.question import Question, words_in
from shared_context.retrieval.recall import NEAR_WEIGHT
from shared_context.retrieval.scoring import Weights

DEPTHS = (5, 10, 20, 50)
Dialogue = dict[str, Any]
Search = Callable[[str], list[str]]
"""Ids of turns for a question, best first."""
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

        def search(question: str) -> list[str]:
            words = re.findall(r"\w+", question)
            if prepared:
                words = [word for word in words if word.lower() not in vocabulary.EMPTY_WORDS] or words
            expression = " OR ".join(f'"{word}"' for word in words)
            query = "SELECT rowid FROM turns WHERE turns MATCH ? ORDER BY rank LIMIT ?"
            return [turns[row[0] - 1]["id"] for row in connection.execute(query, (expression, DEPTHS[-1]))]

        return search

    return make


def ours(weights: Weights | None = None, embedder: Embedder | None = None) -> MakeSearch:
    """The search of the product; the speakers' names stand for their words."""

    def make(dialogue: Dialogue, folder: Path) -> Search:
        index = PassageIndex(folder / "ours.db", weights)
        passages = list(_passages(dialogue))
        index.change(passages, [], {})
        speakers = {word: one.speaker for one in passages for word in words_in(one.speaker)}
        vectors = None
        if embedder is not None:
            vectors = Vectors[str]()
            for start in range(0, len(passages), 32):
                some = passages[start : start + 32]
                for one, vector in zip(some, embedder.embed([each.text for each in some]), strict=True):
                    vectors.put(one.item, vector)

        def search(question: str) -> list[str]:
            found = index.find(Question(question, speakers=speakers), 2 * DEPTHS[-1])
            ranking = list(dict.fromkeys(passage.item for passage, _ in found))
            if vectors is not None:
                (wanted,) = embedder.embed([question]) if embedder else ([],)
                near = list(dict.fromkeys(item for item, _ in vectors.nearest(wanted, 2 * DEPTHS[-1])))
                ranking = [item for item, _ in fused((ranking, near), (1.0, NEAR_WEIGHT))]
            return ranking[: DEPTHS[-1]]

        return search

    return make


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


def measure(make: MakeSearch, dialogues: Sequence[Dialogue]) -> tuple[list[float], list[float]]:
    """Mean recall at each depth, and milliseconds of each query."""
    recalls: list[list[float]] = [[] for _ in DEPTHS]
    times: list[float] = []
    for dialogue in dialogues:
        with tempfile.TemporaryDirectory() as folder:
            search = make(dialogue, Path(folder))
            search("warm up")
            for question in dialogue["questions"]:
                evidence = set(question["evidence"])
                if not evidence:
                    continue
                start = time.perf_counter()
                found = search(question["question"])
                times.append(1000 * (time.perf_counter() - start))
                for depth, values in zip(DEPTHS, recalls, strict=True):
                    values.append(len(evidence & set(found[:depth])) / len(evidence))
    return [sum(values) / max(1, len(values)) for values in recalls], times


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


@contextmanager
def embedder_of(model: Path | None) -> Iterator[Embedder | None]:
    if model is None:
        yield None
        return
    from orchestrator_core.backends.llama_cpp import LlamaCppBackend
    from orchestrator_core.settings import Settings

    backend = LlamaCppBackend(Settings.model_validate({"model": {"path": str(model)}}))
    try:
        yield backend
    finally:
        backend.close()


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
        _row("BM25 alone", *measure(bm25(), dialogues)),
        _row("BM25 of stems, without question words", *measure(bm25(prepared=True), dialogues)),
        _row("ours", *measure(ours(), dialogues)),
    ]
    with ExitStack() as stack:
        embedder = stack.enter_context(embedder_of(model))
        if embedder is not None:
            rows.append(_row("ours with embeddings", *measure(ours(embedder=embedder), dialogues)))
    if ablations:
        for name, changes in ABLATIONS.items():
            rows.append(_row(name, *measure(ours(replace(Weights(), **changes)), dialogues)))
        with without_synonyms():
            rows.append(_row("without synonyms and irregular forms", *measure(ours(), dialogues)))
    title = (
        f"{', '.join(file.name for file in files)}: {questions} questions over {', '.join(map(str, sizes))} turns"
        + (f", each among {turns:,} others" if turns else "")
    )
    columns = ["", *(f"recall@{depth}" for depth in DEPTHS), "ms per query", "worst"]
    show(title, columns, rows)
    if model is None:
        console.print("Embeddings were not measured: name a model that makes them (--model).")


def _row(name: str, recalls: list[float], times: list[float]) -> list[str]:
    return [
        name,
        *(f"{value:.3f}" for value in recalls),
        f"{middle(times):.1f}",
        f"{max(times, default=0):.1f}",
    ]


if __name__ == "__main__":
    main()
