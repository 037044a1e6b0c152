"""Mistral's published tokenizers (from mistral-common) as vocabulary-only GGUF files, so that
llama.cpp itself can say how it splits a prompt."""

from __future__ import annotations

from pathlib import Path

import gguf
from gguf_vocabulary import SentencePieceVocabulary


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


class LlamaVocabulary:
    """llama.cpp's tokenizer, used as the engine uses it: control tokens parsed, pieces apart."""

    def __init__(self, path: Path) -> None:
        import llama_cpp

        self._llama = llama_cpp.Llama(str(path), vocab_only=True)

    def control(self) -> frozenset[str]:
        import llama_cpp

        vocab = llama_cpp.llama_model_get_vocab(self._llama.model)
        count = llama_cpp.llama_vocab_n_tokens(vocab)
        return frozenset(
            llama_cpp.llama_vocab_get_text(vocab, i).decode()
            for i in range(count)
            if llama_cpp.llama_vocab_is_control(vocab, i)
        )

    def tokens(self, pieces: tuple[str, ...]) -> list[int]:
        """BOS, then the tokens of each piece."""
        ids = [self._llama.token_bos()]
        for piece in pieces:
            ids += self._llama.tokenize(piece.encode(), add_bos=False, special=True)
        return ids

    def count(self, text: str) -> int:
        return len(self._llama.tokenize(text.encode(), add_bos=False, special=True))

    def close(self) -> None:
        self._llama.close()
