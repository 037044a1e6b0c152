"""Mistral's published tokenizers (from mistral-common) as vocabulary-only GGUF files, so that
the engine's tokenizer itself can say how it splits a prompt."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
from gguf_vocabulary import SentencePieceVocabulary
from orchestrator_core.engine.tokenizer import Tokenizer


def write_vocabulary(source: str, target: Path, *, add_space_prefix: bool) -> Path:
    """The SentencePiece model `source` as a GGUF file without weights."""
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_context_length(1024)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    vocabulary = SentencePieceVocabulary(source)
    vocabulary.write(writer, template=None, add_bos=True, add_space_prefix=add_space_prefix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return target


@contextmanager
def opened_tokenizer(path: Path) -> Iterator[Tokenizer]:
    """The engine's tokenizer of a GGUF file, with nothing else loaded."""
    import llama_cpp as lib

    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(str(path).encode(), params)
    yield Tokenizer(lib.llama_model_get_vocab(model))
    lib.llama_model_free(model)
