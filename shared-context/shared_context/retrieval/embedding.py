"""Keeps a vector of each passage, made in the background, and finds what is near a question in meaning."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from dataclasses import dataclass, field

from shared_context.errors import SharedContextError
from shared_context.retrieval.fusion import Embedder, Vectors
from shared_context.retrieval.index import PassageIndex
from shared_context.retrieval.lasting import LastingModel
from shared_context.retrieval.scoring import DEFAULT_WEIGHTS

log = logging.getLogger(__name__)

BATCH = 4
"""Texts handed to the embedder at once; a question that comes meanwhile waits for so many at most."""
PATIENCE_S = 0.5
"""A question does without embeddings when its own takes longer."""
BATCH_AT_ONCE = 500
PAUSE_S = 30.0
"""After a failure, before it is tried again."""


IDLE_CHECK_S = 1.0
HARMLESS = "a"


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """What makes vectors.

    Args:
        name: for people.
        idle: whether passages may be embedded now; questions are at any time.
        content: what else than the name the vectors depend on, such as the model file's hash;
            those of another name or content are thrown away.
        load: makes the embedder ready ahead of the first question, which would not wait for it.
        immediate: so fast that passages are embedded when they are read, and nothing is in the background.
        with_before: passages are embedded with the end of what was said before them.
        embed_question: makes the vectors of questions, where a model tells them from passages.
        lasting: tells by a vector what lasts; None: nobody can.
        meaning: what closeness counts beside the words, see `Weights`.
    """

    embedder: Embedder
    name: str
    idle: Callable[[], bool] = lambda: True
    content: str = ""
    load: Callable[[], object] = lambda: None
    immediate: bool = False
    with_before: bool = True
    embed_question: Callable[[Sequence[str]], list[list[float]]] | None = None
    lasting: LastingModel | None = None
    meaning: float = DEFAULT_WEIGHTS.meaning


@dataclass(frozen=True, slots=True)
class EmbeddingState:
    """How far the vectors are.

    Args:
        model: its name.
        passages: all there are.
        embedded: those of them that have a vector.
        refused: those that the model cannot take; they are found by their words.
        problem: why no vectors are made at the moment.
    """

    model: str
    passages: int
    embedded: int
    refused: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Nearby:
    """Passages by their positions.

    Args:
        standing: of the closest, how far they stand out, see `Vectors.standing`.
        lasting: those that state something lasting, what matters most to the question first.
    """

    standing: Mapping[int, float] = field(default_factory=dict)
    lasting: Sequence[int] = ()


class Embeddings:
    """Safe from any thread. Vectors lie beside the passages, so a restart need not make them again."""

    def __init__(self, index: PassageIndex, model: EmbeddingModel) -> None:
        self._index = index
        self._model = model
        self._problem: str | None = None
        self._refused: set[int] = set()
        self._vectors: Vectors[int] = Vectors()
        self._lock = threading.Lock()
        self._wake = threading.Condition()
        self._wanted = True
        self._closed = False
        self._asking = ThreadPoolExecutor(1, thread_name_prefix="embed-question")
        self._asked: Future[list[list[float]]] | None = None
        index.keep_vectors_of(f"{model.name} {model.content}".strip())
        for position, vector in index.vectors():
            self._vectors.put(position, vector)
        self._making = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="embed-passages", daemon=True)
        if not model.immediate:
            self._thread.start()

    def take_in(self, *, changed: bool) -> None:
        """Passages may have changed. Where vectors are made in the background, returns at once."""
        if self._model.immediate:
            with self._making:
                if changed or self._wanted:
                    self._make_all()
        elif changed:
            with self._wake:
                self._wanted = True
                self._wake.notify_all()

    def _make_all(self) -> None:
        try:
            while self._some(BATCH_AT_ONCE):
                pass
            self._wanted, self._problem = False, None
        except SharedContextError as error:
            if self._problem is None:
                log.warning("Passages are searched by their words only: %s", error)
            self._problem = str(error)

    def state(self) -> EmbeddingState:
        """
        Raises:
            StoreError.
        """
        passages, embedded = self._index.counts()
        return EmbeddingState(self._model.name, passages, embedded, len(self._refused), self._problem)

    def nearby(self, text: str, limit: int, lasting: int) -> Nearby:
        """What is closest in meaning, and what lasts, so many of each at most, among the passages that have
        vectors already; nothing when the embedder fails or is slow."""
        embed = self._model.embed_question or self._model.embedder.embed
        with self._lock:
            if self._closed or not len(self._vectors) or (self._asked and not self._asked.done()):
                return Nearby()
            if not self._model.immediate:
                self._asked = self._asking.submit(embed, [text])
        try:
            vector = embed([text])[0] if self._asked is None else self._asked.result(PATIENCE_S)[0]
        except TookTooLong:
            return Nearby()
        except Exception as error:
            log.warning("A question is searched by its words only: %s", error)
            return Nearby()
        with self._lock:
            standing = self._vectors.standing(vector)
            last: list[tuple[int, float]] = []
            if (model := self._model.lasting) is not None:
                sums = self._vectors.weighted(model.weights)
                last = self._vectors.best(model.order(sums, standing), lasting)
            positions = [position for position, score in last if score > -math.inf]
            return Nearby(dict(self._vectors.best(standing, limit)), positions)

    def close(self) -> None:
        """Begin nothing more. Idempotent."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._asking.shutdown(wait=False, cancel_futures=True)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(PATIENCE_S)

    def _work(self) -> None:
        while self._wait():
            try:
                self._model.load()
                while not self._closed and (not self._may_go_on() or self._some()):
                    pass
                self._problem = None
            except Exception as error:
                if not self._closed:
                    log.warning("Passages are searched by their words only, for now: %s", error)
                    self._problem = str(error)
                with self._wake:
                    self._wanted = True
                    self._wake.wait_for(lambda: self._closed, PAUSE_S)

    def _wait(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._wanted or self._closed)
            self._wanted = False
            return not self._closed

    def _may_go_on(self) -> bool:
        """Whether nobody else needs the model; looks again after a while when somebody does."""
        if self._model.idle():
            return True
        with self._wake:
            self._wake.wait_for(lambda: self._closed, IDLE_CHECK_S)
        return False

    def _some(self, batch: int = BATCH) -> bool:
        """Embed a few passages, newest first; whether there may be more."""
        passages = self._index.without_vector(batch, self._refused, with_before=self._model.with_before)
        if not passages:
            return False
        made = self._made(passages)
        if not made:
            return True
        with self._lock:
            rows = [(position, self._vectors.put(position, vector)) for position, vector in made]
            room = self._vectors.room(len(made[0][1]))
        self._index.put_vectors(rows)
        return self._index.counts()[1] < room

    def _made(self, found: Sequence[tuple[int, str]]) -> list[tuple[int, list[float]]]:
        """The passages' vectors. One that the embedder refuses must not keep those behind it waiting."""
        embed = self._model.embedder.embed
        try:
            vectors = embed([text for _, text in found])
            return [(position, vector) for (position, _), vector in zip(found, vectors, strict=True)]
        except Exception as error:
            embed([HARMLESS])  # Raises when it is not the texts, but the embedder.
            log.warning("A passage is searched by its words only: %s", error)
            made = []
            for position, text in found:
                try:
                    made.append((position, embed([text])[0]))
                except Exception:
                    self._refused.add(position)
            return made
