"""The engine of a model that only makes embeddings: whole texts in, one vector each out.

A chat model's texts are read in chunks between the steps of running answers (`embedding.py`). Here
nobody answers, and an encoder has to see all of a text at once, so several texts are computed together instead.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence

from orchestrator_core.engine.embedding_queue import TextsJob, next_of, windows
from orchestrator_core.engine.load import Loaded, LoadSpec, choose_gpu_layers, choose_threads
from orchestrator_core.engine.native import Context, ContextShape, NativeModel, build, lib, supports_gpu
from orchestrator_core.engine.outbox import ReplyQueue, Send
from orchestrator_core.engine.tokenizer import Tokenizer
from orchestrator_core.errors import InvalidRequest, ModelUnusable, Overloaded

log = logging.getLogger(__name__)

MOST_TOKENS = 1024
"""Of a text at once: what is searched is shorter, and memory grows with the square of it."""
USUAL_TOKENS = 512
"""When the file does not say for how many the model was trained: BERT's."""
BATCH_TEXTS = 16

POOLINGS = {
    lib.LLAMA_POOLING_TYPE_MEAN: "mean",
    lib.LLAMA_POOLING_TYPE_CLS: "cls",
    lib.LLAMA_POOLING_TYPE_LAST: "last",
}


class EmbeddingEngine:
    """A loaded embedding model.

    Args:
        spec: what to load.
        send: puts a message on the channel; called from both threads.

    Raises:
        ModelUnusable: also when the model makes something else than embeddings.
    """

    def __init__(self, spec: LoadSpec, send: Send) -> None:
        self._send = send
        gpu_layers, reason = choose_gpu_layers(spec.gpu_layers, spec.device, supports_gpu())
        model = NativeModel(spec.model, gpu_layers=gpu_layers)
        pooling = _pooling(model, spec.model)
        self._tokenizer = Tokenizer(model.vocab)
        self._before, self._after = self._tokenizer.frame()
        self._window = min(model.train_context or USUAL_TOKENS, MOST_TOKENS)
        threads = choose_threads(spec.threads)
        shape = ContextShape(self._window, BATCH_TEXTS, self._window, threads, flash=gpu_layers != 0)
        self._context = Context(model, shape, pooling=pooling)
        self._max_queue = spec.max_queue
        self._jobs: deque[TextsJob] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self.loaded = Loaded(
            context_length=self._window,
            cells=self._context.cells,
            description=model.description,
            template=None,
            tool_template=None,
            bos="",
            eos="",
            control=[],
            adds_bos=False,
            quantization=model.quantization,
            device="gpu" if gpu_layers else "cpu",
            device_reason=reason,
            details={
                "threads": threads,
                "parameters": model.parameters,
                "train_context": model.train_context,
                "llama_cpp": build(),
                "pooling": POOLINGS[pooling],
                "pooling_assumed": model.pooling is None,
                "width": self._context.width,
            },
        )

    def embed(self, request_id: int, texts: Sequence[str]) -> None:
        """Queue texts; the reply is sent when the last one is done.

        Raises:
            InvalidRequest: a text is empty.
            Overloaded: too many such requests are waiting.
        """
        job = TextsJob(request_id, [self._parts(text) for text in texts])
        with self._changed:
            if len(self._jobs) > self._max_queue:
                raise Overloaded(f"{len(self._jobs)} embedding requests are waiting already.")
            self._jobs.append(job)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()

    def run(self) -> None:
        """Work until `close`.

        Raises:
            DecodeFailed: llama.cpp cannot go on; the process has to end.
        """
        outbox = ReplyQueue(self._send)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closing)
                if self._closing:
                    return
                job = next_of(self._jobs)
            outbox.pulse_if_due()
            parts = job.take(self._window, BATCH_TEXTS)
            for part, vector in zip(parts, self._context.encode([one.tokens for one in parts]), strict=True):
                job.put(part, vector)
            if not job.left:
                with self._changed:
                    self._jobs.remove(job)
                self._send({"ev": "reply", "id": job.request_id, "vectors": job.vectors()})

    def _parts(self, text: str) -> list[list[int]]:
        room = self._window - len(self._before) - len(self._after)
        parts = [[*self._before, *part, *self._after] for part in windows(self._tokenizer.plain(text), room)]
        if not text or not parts[0]:
            raise InvalidRequest("An empty text has no embedding.", param="input")
        return parts


def _pooling(model: NativeModel, path: str) -> int:
    """How the model's token vectors become one; the mean where its file does not say.

    Raises:
        ModelUnusable: it makes no embeddings.
    """
    pooling = model.pooling
    why = None
    if pooling == lib.LLAMA_POOLING_TYPE_RANK:
        why = "ranks pairs of texts"
    elif model.has_encoder and model.has_decoder:
        why = "turns one text into another"
    if why is not None:
        raise ModelUnusable(
            f"The model {path!r} {why} and makes no embeddings.",
            hint="Set context.embeddings to an embedding model, such as all-MiniLM-L6-v2 in GGUF.",
        )
    if pooling is None:
        log.warning("%s does not say how it makes embeddings: it was hardly made for them.", path)
    return pooling if pooling is not None and pooling in POOLINGS else int(lib.LLAMA_POOLING_TYPE_MEAN)
