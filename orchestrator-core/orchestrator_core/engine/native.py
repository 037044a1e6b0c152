"""llama.cpp through ctypes: a model, its context, and nothing the engine does not need.

The one module that imports llama_cpp; it is imported in the engine process only. It knows nothing
of requests. Every struct and function is llama-cpp-python's own low-level binding.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from orchestrator_core.engine.plan import Fork, Release, SequencePiece
from orchestrator_core.errors import ModelUnusable

lib: Any = llama_cpp
"""The binding, for the modules beside this one: they take it from here."""

ERROR_LEVEL = 4
"""GGML_LOG_LEVEL_ERROR."""

NO_SLOT = 1
"""llama_decode: no room in the cache for this batch; the cache is as before."""


class DecodeFailed(Exception):
    """llama_decode returned a status other than success.

    Args:
        status: 1 means no room (nothing changed); everything else is fatal.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"llama_decode returned {status}")
        self.status = status


@dataclass(frozen=True, slots=True)
class ContextShape:
    """Sizes of a context.

    Args:
        cells: of the unified cache.
        sequences: numbers in use at most.
        batch: tokens per decode.
        flash: use flash attention where there is a kernel for it. On a CPU it skips other sequences' cells, but
            is slower on one's own (measured on AVX2, 100M, 2,048 shared tokens: 15 against 9 ms for one answer,
            93 against 48 ms for eight) and sums in 16 bits, so results depend on where in the cache a sequence lies.
    """

    cells: int
    sequences: int
    batch: int
    threads: int
    flash: bool


def quiet_backend() -> None:
    """Start llama.cpp, its log going to stderr unfiltered: the parent sorts it."""
    lib.llama_log_set(lib.llama_log_callback(0), ctypes.c_void_p(0))
    lib.llama_backend_init()


@contextmanager
def error_lines() -> Iterator[list[str]]:
    """What llama.cpp logs as errors within the block; all of its log goes to stderr meanwhile, as otherwise."""
    lines: list[str] = []

    def keep(level: int, text: bytes, _data: object) -> None:
        sys.stderr.buffer.write(text)
        sys.stderr.buffer.flush()
        if level == ERROR_LEVEL:
            lines.append(text.decode("utf-8", "replace").strip())

    callback = lib.llama_log_callback(keep)
    lib.llama_log_set(callback, ctypes.c_void_p(0))
    try:
        yield lines
    finally:
        lib.llama_log_set(lib.llama_log_callback(0), ctypes.c_void_p(0))


def supports_gpu() -> bool:
    return bool(lib.llama_supports_gpu_offload())


def build() -> str:
    """Version and instruction sets: what saved states depend on."""
    system = lib.llama_print_system_info().decode("utf-8", "replace")
    return f"{lib.__version__} {lib.llama_version().decode()} {system.strip(' |')}"


def unusable_file(path: str, reasons: Sequence[str]) -> ModelUnusable:
    """The error for a file that llama.cpp refuses.

    Args:
        reasons: see `error_lines`; the first says most, later ones that loading failed.
    """
    reason = reasons[0].partition(": ")[2] or reasons[0] if reasons else "it does not say why"
    return ModelUnusable(
        f"llama.cpp cannot load the model file {path!r}: {reason}",
        hint="The reason is llama.cpp's own. Use another file, or one of this model in another format.",
    )


def _rounded(count: int) -> str:
    """Like "7.2B", "268M" or "40K"."""
    if count >= 1e9:
        return f"{count / 1e9:.1f}B"
    return f"{count / 1e6:.0f}M" if count >= 1e6 else f"{count / 1e3:.0f}K"


class NativeModel:
    """A loaded GGUF file and its vocabulary.

    Raises:
        ModelUnusable: llama.cpp refuses the file or the adapter.
    """

    def __init__(self, path: str, *, gpu_layers: int, adapter: str | None = None) -> None:
        params = lib.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        with error_lines() as reasons:
            self.pointer = lib.llama_model_load_from_file(path.encode(), params)
        if not self.pointer:
            raise unusable_file(path, reasons)
        self.vocab = lib.llama_model_get_vocab(self.pointer)
        self.adapter = self._load_adapter(adapter) if adapter else None

    def _load_adapter(self, path: str) -> Any:
        adapter = lib.llama_adapter_lora_init(self.pointer, path.encode())
        if not adapter:
            raise ModelUnusable(
                f"llama.cpp cannot attach the LoRA adapter {path!r} to this model.",
                hint="The adapter must be a GGUF made for the same base model.",
            )
        return adapter

    @property
    def train_context(self) -> int:
        return int(lib.llama_model_n_ctx_train(self.pointer))

    @property
    def vocab_size(self) -> int:
        return int(lib.llama_vocab_n_tokens(self.vocab))

    @property
    def width(self) -> int:
        return int(lib.llama_model_n_embd(self.pointer))

    @property
    def has_encoder(self) -> bool:
        """Of its own beside or instead of a decoder, as T5 has; BERT is none to llama.cpp."""
        return bool(lib.llama_model_has_encoder(self.pointer))

    @property
    def has_decoder(self) -> bool:
        return bool(lib.llama_model_has_decoder(self.pointer))

    @property
    def pooling(self) -> int | None:
        """How the file says that the vectors of a text's tokens become one; None where it says nothing."""
        text = self.metadata(f"{self.metadata('general.architecture')}.pooling_type")
        return int(text) if text is not None and text.isdigit() else None

    @property
    def forkable(self) -> bool:
        """Whether a sequence can be copied up to any position: not so for recurrent state."""
        return not (lib.llama_model_is_recurrent(self.pointer) or lib.llama_model_is_hybrid(self.pointer))

    @property
    def description(self) -> str:
        """Like "llama 7B Q4_K - Medium"; of a model of no well-known size the number of its parameters."""
        buffer = ctypes.create_string_buffer(256)
        lib.llama_model_desc(self.pointer, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace").replace(" ?B", f" {_rounded(self.parameters)}")

    @property
    def quantization(self) -> str | None:
        """Like "Q4_K_M"."""
        name = lib.llama_ftype_name(lib.llama_model_ftype(self.pointer))
        return name.decode() if name else None

    @property
    def parameters(self) -> int:
        return int(lib.llama_model_n_params(self.pointer))

    def chat_template(self, name: str | None = None) -> str | None:
        """The template of that name (`tokenizer.chat_template.<name>`); None: the default one."""
        template = lib.llama_model_chat_template(self.pointer, name and name.encode())
        return template.decode("utf-8", "replace") if template else None

    def metadata(self, key: str) -> str | None:
        buffer = ctypes.create_string_buffer(1024)
        length = lib.llama_model_meta_val_str(self.pointer, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length >= 0 else None

    def cell_bytes(self) -> int:
        """Memory of one KV cell (one token of one sequence) in 16-bit precision, estimated from the shape."""
        layers = int(lib.llama_model_n_layer(self.pointer))
        heads = max(1, int(lib.llama_model_n_head(self.pointer)))
        kv_heads = int(lib.llama_model_n_head_kv(self.pointer))
        return 2 * 2 * layers * kv_heads * (self.width // heads)


class NativeBatch:
    """A llama_batch over arrays of our own: filled by slices, which costs little Python."""

    def __init__(self, size: int) -> None:
        self._tokens = (lib.llama_token * size)()
        self._positions = (lib.llama_pos * size)()
        self._counts = (ctypes.c_int32 * size)(*([1] * size))
        self._seqs = (lib.llama_seq_id * size)()
        pointer = ctypes.POINTER(lib.llama_seq_id)
        start = ctypes.addressof(self._seqs)
        item = ctypes.sizeof(lib.llama_seq_id)
        self._seq_pointers = (pointer * size)(
            *(ctypes.cast(start + index * item, pointer) for index in range(size))
        )
        self._outputs = (ctypes.c_int8 * size)()
        self.size = size
        self.struct = lib.llama_batch(
            n_tokens=0,
            token=self._tokens,
            embd=None,
            pos=self._positions,
            n_seq_id=self._counts,
            seq_id=self._seq_pointers,
            logits=self._outputs,
        )

    def fill(self, pieces: Sequence[SequencePiece], *, all_outputs: bool = False) -> list[int]:
        """Put the pieces in; the batch index of the output of each piece that wants a token."""
        at, indices = 0, []
        for piece in pieces:
            count = len(piece.tokens)
            if count == 1:
                self._tokens[at] = piece.tokens[0]
                self._positions[at] = piece.position
                self._seqs[at] = piece.seq
                self._outputs[at] = piece.wants_token or all_outputs
            else:
                end = at + count
                self._tokens[at:end] = piece.tokens
                self._positions[at:end] = list(range(piece.position, piece.position + count))
                self._seqs[at:end] = [piece.seq] * count
                self._outputs[at:end] = [int(all_outputs)] * count
                if piece.wants_token:
                    self._outputs[end - 1] = 1
            at += count
            if piece.wants_token:
                indices.append(at - 1)
        self.struct.n_tokens = at
        return indices


class Context:
    """The KV cache and the compute buffers of a model.

    Args:
        pooling: for embeddings, one of llama.cpp's pooling types: what becomes of a text's vectors.

    Raises:
        ModelUnusable: not enough memory for these sizes.
    """

    def __init__(self, model: NativeModel, shape: ContextShape, *, pooling: int | None = None) -> None:
        params = lib.llama_context_default_params()
        params.n_ctx = shape.cells
        params.n_batch = params.n_ubatch = shape.batch
        params.n_seq_max = shape.sequences
        params.n_threads = params.n_threads_batch = shape.threads
        params.kv_unified = True
        params.swa_full = True
        params.flash_attn_type = (
            lib.LLAMA_FLASH_ATTN_TYPE_AUTO if shape.flash else lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        if pooling is not None:
            params.embeddings = True
            params.pooling_type = pooling
            params.n_outputs_max_per_seq = 0
        self.pointer = lib.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise ModelUnusable(
                f"There is not enough memory for {shape.cells} tokens of context.",
                hint="Lower engine.kv_tokens or model.context_length.",
            )
        if model.adapter is not None:
            adapters = (lib.llama_adapter_lora_p_ctypes * 1)(model.adapter)
            scales = (ctypes.c_float * 1)(1.0)
            lib.llama_set_adapters_lora(self.pointer, adapters, 1, scales)
        self.memory = lib.llama_get_memory(self.pointer)
        self.cells = int(lib.llama_n_ctx(self.pointer))
        self.batch = NativeBatch(shape.batch)
        self.width = model.width
        # An encoder keeps nothing from one batch to the next, so it has no memory.
        self.encodes = model.has_encoder or not self.memory

    def apply(self, operations: Sequence[Fork | Release]) -> None:
        for operation in operations:
            if isinstance(operation, Fork):
                lib.llama_memory_seq_cp(self.memory, operation.source, operation.seq, 0, operation.length)
            else:
                lib.llama_memory_seq_rm(self.memory, operation.seq, -1, -1)

    def decode(self, pieces: Sequence[SequencePiece], *, all_outputs: bool = False) -> list[int]:
        """Compute the pieces; batch indices of the outputs, one per piece that wants a token.

        Raises:
            DecodeFailed
        """
        indices = self.batch.fill(pieces, all_outputs=all_outputs)
        status = lib.llama_decode(self.pointer, self.batch.struct)
        if status != 0:
            raise DecodeFailed(status)
        return indices

    def encode(self, texts: Sequence[list[int]]) -> list[NDArray[np.float32]]:
        """One vector per whole text, made as `pooling` says.

        Raises:
            DecodeFailed
        """
        self.batch.fill([SequencePiece(None, seq, 0, tokens, False) for seq, tokens in enumerate(texts)])
        compute = lib.llama_encode if self.encodes else lib.llama_decode
        status = compute(self.pointer, self.batch.struct)
        if status != 0:
            raise DecodeFailed(status)
        if self.memory:
            lib.llama_memory_clear(self.memory, False)
        vectors = (lib.llama_get_embeddings_seq(self.pointer, seq) for seq in range(len(texts)))
        return [np.ctypeslib.as_array(vector, shape=(self.width,)).copy() for vector in vectors]

    def save(self, seq: int) -> bytes:
        """The state of one sequence, as llama.cpp writes it."""
        size = lib.llama_state_seq_get_size(self.pointer, seq)
        buffer = (ctypes.c_uint8 * size)()
        written = lib.llama_state_seq_get_data(self.pointer, buffer, size, seq)
        return bytes(memoryview(buffer)[:written])

    def restore(self, seq: int, state: bytes) -> bool:
        """Put a saved state under an empty sequence. The caller has checked that it is intact and ours."""
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        return bool(lib.llama_state_seq_set_data(self.pointer, buffer, len(state), seq) > 0)

    def stored(self, seq: int) -> int:
        """Tokens that the cache really holds for a sequence."""
        return int(lib.llama_memory_seq_pos_max(self.memory, seq)) + 1

    def close(self) -> None:
        lib.llama_free(self.pointer)
