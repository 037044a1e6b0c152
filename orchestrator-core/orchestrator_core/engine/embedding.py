"""Vectors of texts, computed chunk by chunk between the steps of running answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from orchestrator_core.engine.native import Context, ContextShape, NativeModel, lib
from orchestrator_core.engine.plan import Release, SequencePiece

SEQ = 0


@dataclass(slots=True)
class EmbedJob:
    """Texts of one request, as tokens, and the vectors so far."""

    request_id: int
    texts: list[list[int]]
    vectors: list[list[float]] = field(default_factory=list)
    done_tokens: int = 0
    """Of the text that comes next."""
    total: np.ndarray | None = None

    @property
    def finished(self) -> bool:
        return len(self.vectors) == len(self.texts)


class EngineEmbedder:
    """A context of its own beside the answers', made when the first text comes.

    A text's vector is the mean of its tokens' last hidden states, scaled to length 1.
    """

    def __init__(self, model: NativeModel, *, window: int, batch: int, threads: int) -> None:
        shape = ContextShape(window, 1, batch, threads, flash=False)
        self._context = Context(model, shape, pooling=lib.LLAMA_POOLING_TYPE_NONE)
        self._batch = batch

    def step(self, job: EmbedJob, chunk: int) -> None:
        """Compute at most `chunk` tokens more."""
        tokens = job.texts[len(job.vectors)]
        part = tokens[job.done_tokens : job.done_tokens + min(chunk, self._batch)]
        piece = SequencePiece(None, SEQ, job.done_tokens, part, False)
        self._context.decode([piece], all_outputs=True)
        states = np.ctypeslib.as_array(
            lib.llama_get_embeddings(self._context.pointer), shape=(len(part), self._context.width)
        )
        added = states.sum(axis=0, dtype=np.float64)
        job.total = added if job.total is None else job.total + added
        job.done_tokens += len(part)
        if job.done_tokens == len(tokens):
            self._finish_text(job)

    def _finish_text(self, job: EmbedJob) -> None:
        assert job.total is not None
        length = float(np.linalg.norm(job.total))
        job.vectors.append([float(value) for value in job.total / (length or 1.0)])
        job.total, job.done_tokens = None, 0
        self._context.apply([Release(SEQ)])
