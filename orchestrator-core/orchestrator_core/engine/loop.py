"""The engine's loop: performs what the scheduler plans, samples, and reports.

Two threads meet here. The main one runs `run`: plan, decode, sample, send. The other hands in what the
server asks (`generate`, `cancel`, `count`, ...): tokenising and refusing happen there, so nobody
waits for a decode step to learn that a prompt is too long. One lock guards the scheduler; it is never held
during a decode.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from orchestrator_core.backend import FinishReason
from orchestrator_core.engine.answer import SequenceAnswer
from orchestrator_core.engine.chunk import ChunkSize
from orchestrator_core.engine.constraint import Constraints
from orchestrator_core.engine.embedding import EmbedJob, EngineEmbedder
from orchestrator_core.engine.load import (
    Loaded,
    LoadSpec,
    advised_sampling,
    choose_cells,
    choose_context,
    choose_gpu_layers,
    choose_idle_steps,
    choose_threads,
)
from orchestrator_core.engine.native import (
    NO_SLOT,
    Context,
    ContextShape,
    DecodeFailed,
    NativeModel,
    build,
    supports_gpu,
)
from orchestrator_core.engine.outbox import ReplyQueue, Send
from orchestrator_core.engine.pin import SavedPin
from orchestrator_core.engine.plan import BatchStep, EngineLimits, Request
from orchestrator_core.engine.sampling import Sampler
from orchestrator_core.engine.scheduler import Scheduler
from orchestrator_core.engine.tokenizer import Tokenizer
from orchestrator_core.errors import ContextLengthExceeded, InvalidRequest, ModelUnusable, Overloaded
from orchestrator_core.generation import GenerationConfig

log = logging.getLogger(__name__)


class Engine:
    """A loaded model with its scheduler.

    Args:
        spec: what to load.
        send: puts a message on the channel; called from both threads.

    Raises:
        ModelUnusable
    """

    def __init__(self, spec: LoadSpec, send: Send) -> None:
        self._send = send
        gpu_layers, reason = choose_gpu_layers(spec.gpu_layers, spec.device, supports_gpu())
        self.model = NativeModel(spec.model, gpu_layers=gpu_layers, adapter=spec.adapter)
        if self.model.has_encoder or not self.model.has_decoder:
            raise _cannot_answer(spec.model)
        self.tokenizer = Tokenizer(self.model.vocab)
        self._ends = self.tokenizer.ends()
        self._constraints = Constraints(self.model.vocab, self.tokenizer)
        window = choose_context(spec.context_length, self.model.train_context)
        cells = choose_cells(spec.kv_tokens, window, spec.max_sequences, self.model.cell_bytes())
        limits = EngineLimits(
            cells=cells,
            window=window,
            max_running=spec.max_sequences,
            max_queue=spec.max_queue,
            sharing=self.model.forkable,
            idle_steps=choose_idle_steps(spec.idle_steps, gpu_layers),
        )
        threads = choose_threads(spec.threads)
        batch = spec.prefill_chunk + spec.max_sequences
        shape = ContextShape(cells, limits.sequences, batch, threads, flash=gpu_layers != 0)
        self.context = Context(self.model, shape)
        if not self.context.memory:
            raise _cannot_answer(spec.model)
        self.scheduler = Scheduler(limits)
        self._saved = SavedPin(spec, self.context, self.scheduler, flash=shape.flash)
        self._chunk = ChunkSize(spec.prefill_chunk)
        self._answers: dict[int, SequenceAnswer] = {}
        self._outbox = ReplyQueue(send)
        self._jobs: deque[EmbedJob] = deque()
        self._embedder: EngineEmbedder | None = None
        self._embedder_sizes = {"window": window, "batch": spec.prefill_chunk, "threads": threads}
        self._lock = threading.Condition()
        self._closing = False
        self.loaded = self._describe(spec, window, threads, gpu_layers, reason)

    # Called by the thread that listens to the server

    def generate(
        self, request_id: int, pieces: Sequence[str], continued: str, config: GenerationConfig
    ) -> int:
        """Queue an answer; the number of its prompt tokens.

        Raises:
            InvalidRequest, ContextLengthExceeded, Overloaded.
        """
        tokens = self.tokenizer.prompt(pieces)
        if not tokens:
            raise InvalidRequest("The prompt is empty.", param="prompt")
        begun = self.tokenizer.prompt(pieces, continued)[len(tokens) :] if continued else []
        limit = config.limit(self.scheduler.limits.window)
        sampler = Sampler(self._constraints.of(config), self.model.vocab_size, config)
        try:
            sampler.replay(begun)
            answer = SequenceAnswer(
                self.tokenizer,
                sampler,
                self._ends,
                config,
                prompt_tokens=len(tokens),
                limit=limit,
                seen=continued,
            )
            with self._lock:
                answer.limit = self.scheduler.submit(Request(request_id, tokens + begun, limit))
                self._answers[request_id] = answer
                self._lock.notify()
        except BaseException:
            sampler.close()
            raise
        return len(tokens)

    def cancel(self, request_id: int) -> None:
        with self._lock:
            self.scheduler.cancel(request_id)
            self._lock.notify()

    def prewarm(self, pieces: Sequence[str], follows: Sequence[str] = ()) -> int:
        """Pin this prefix, and cache the prompt `follows`, when there is nothing better to do."""
        tokens = self.tokenizer.prompt(pieces)
        also = self.tokenizer.prompt(follows) if follows else []
        with self._lock:
            self.scheduler.prewarm(tokens, also)
            self._lock.notify()
        return len(tokens)

    def embed(self, request_id: int, texts: Sequence[str]) -> None:
        """Queue texts for embedding; the reply is sent when the last one is done.

        Raises:
            InvalidRequest: a text is empty, or longer than the window.
            Overloaded: too many such requests are waiting.
        """
        tokens = [self.tokenizer.prompt([text]) for text in texts]
        window = self.scheduler.limits.window
        for text, text_tokens in zip(texts, tokens, strict=True):
            if not text or not text_tokens:
                raise InvalidRequest("An empty text has no embedding.", param="input")
            if len(text_tokens) > window:
                raise ContextLengthExceeded(
                    f"A text to embed has {len(text_tokens)} tokens; the window is {window} tokens."
                )
        with self._lock:
            if len(self._jobs) > self.scheduler.limits.max_queue:
                raise Overloaded(f"{len(self._jobs)} embedding requests are waiting already.")
            self._jobs.append(EmbedJob(request_id, tokens))
            self._lock.notify()

    def stats(self) -> dict[str, int]:
        with self._lock:
            load = self.scheduler.load()
        return {
            "running": load.running,
            "waiting": load.waiting,
            "used": load.used,
            "cached": load.cached,
            "total": load.total,
            "prefilled": load.prefilled,
            "ahead": load.ahead,
        }

    def close(self) -> None:
        with self._lock:
            self._closing = True
            self._lock.notify()

    # The main thread

    def run(self) -> None:
        """Work until `close`.

        Raises:
            DecodeFailed: llama.cpp cannot go on; the process has to end.
        """
        while True:
            with self._lock:
                while not (self.scheduler.busy or self._jobs or self._closing):
                    self._saved.save()
                    self._lock.wait()
                if self._closing:
                    return
                step = self.scheduler.plan(self._chunk.size(self.scheduler.decoding))
            self._drop(step.cancelled)
            self._outbox.pulse_if_due()
            self.context.apply(step.operations)
            self._compute(step)
            if self._jobs and not step.prefill:
                self._outbox.send()
                self._embed(self._jobs[0])

    def _compute(self, step: BatchStep) -> None:
        """Decode a step and report what came of it; a batch that finds no room is tried in halves."""
        if step.prefill:
            self._outbox.send()  # This step may take long.
        started = time.perf_counter()
        try:
            indices = self.context.decode(step.pieces) if not step.empty else []
        except DecodeFailed as error:
            if error.status != NO_SLOT:
                raise
            self._compute_smaller(step, error)
            return
        with self._lock:
            self.scheduler.commit(step)
        self._report(step, indices)
        if step.prefill:
            self._chunk.observe(
                sum(len(piece.tokens) for piece in step.prefill), time.perf_counter() - started
            )

    def _compute_smaller(self, step: BatchStep, error: DecodeFailed) -> None:
        with self._lock:
            dropped = self.scheduler.drop_cached()
        if dropped:
            log.warning("The KV cache is fuller than expected; dropped %d cached sequences.", len(dropped))
            self.context.apply(dropped)
            self._compute(step)
            return
        halves = step.halves()
        if halves is None:
            raise error
        for half in halves:
            self._compute(half)

    def _embed(self, job: EmbedJob) -> None:
        """One chunk of an embedding: like a prefill, for which the running answers wait no longer."""
        if self._embedder is None:
            self._embedder = EngineEmbedder(self.model, **self._embedder_sizes)
        if not job.finished:
            self._embedder.step(job, self._chunk.size(self.scheduler.decoding))
        if job.finished:
            with self._lock:
                self._jobs.popleft()
            self._send({"ev": "reply", "id": job.request_id, "vectors": job.vectors})

    def _report(self, step: BatchStep, indices: list[int]) -> None:
        """Sample every sequence whose logits are there, and put the text into the outbox."""
        wanting = [piece.request_id for piece in step.pieces if piece.wants_token]
        sampled: list[tuple[int, int, SequenceAnswer]] = []
        for request_id, index in zip(wanting, indices, strict=True):
            assert request_id is not None
            answer = self._answers[request_id]
            token, text = answer.sample(self.context.pointer, index)
            if text is not None:
                self._outbox.tokens.append([request_id, text.text, text.count, *text.logprobs])
            sampled.append((request_id, token, answer))
        with self._lock:
            for request_id, token, answer in sampled:
                if answer.completion_tokens <= 1:
                    answer.cached_tokens = self.scheduler.cached_tokens(request_id)
                    self._outbox.begun.append([request_id, answer.cached_tokens])
                if answer.reason is not None:
                    self.scheduler.finish(request_id)
                    self._outbox.done.append(self._close_answer(request_id))
                else:
                    self.scheduler.advance(request_id, token)
        self._outbox.send_if_due()

    def _drop(self, cancelled: list[int]) -> None:
        for request_id in cancelled:
            text = self._answers[request_id].end(FinishReason.CANCELLED)
            if text is not None:
                self._outbox.tokens.append([request_id, text.text, text.count])
            self._outbox.done.append(self._close_answer(request_id))
        self._outbox.send_if_due()

    def _close_answer(self, request_id: int) -> list[Any]:
        answer = self._answers.pop(request_id)
        answer.close()
        return [request_id, answer.reason, *answer.usage()]

    def _describe(self, spec: LoadSpec, window: int, threads: int, layers: int, reason: str) -> Loaded:
        special = self.tokenizer.special()
        return Loaded(
            context_length=window,
            cells=self.scheduler.limits.cells,
            description=self.model.description,
            template=self.model.chat_template(),
            tool_template=self.model.chat_template("tool_use"),
            bos=special.bos,
            eos=special.eos,
            control=sorted(special.control),
            adds_bos=special.adds_bos,
            infill=list(special.infill),
            quantization=self.model.quantization,
            device="gpu" if layers else "cpu",
            device_reason=reason,
            sampling=advised_sampling(self.model.metadata),
            details={
                "threads": threads,
                "gpu_layers": layers,
                "kv_tokens": self.context.cells,
                "prefill_chunk": spec.prefill_chunk,
                "parameters": self.model.parameters,
                "train_context": self.model.train_context,
                "llama_cpp": build(),
                "shares_prefixes": self.model.forkable,
            },
        )


def _cannot_answer(path: str) -> ModelUnusable:
    return ModelUnusable(
        f"The model {path!r} writes no text: it makes embeddings, or reads only.",
        hint="Set model.path to a chat model. An embedding model is for context.embeddings.",
    )
