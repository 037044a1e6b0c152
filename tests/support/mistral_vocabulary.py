"""Mistral's published tokenizers (from mistral-common) as vocabulary-only GGUF files, so that
llama.cpp itself can say how it splits a prompt."""

from __future__ import annotations

from pathlib import Path

import gguf
import mistral_common
from sentencepiece import SentencePieceProcessor

TOKENIZERS = Path(mistral_common.__file__).parent / "data"


def write_vocabulary(source: str, target: Path, *, add_space_prefix: bool) -> Path:
    """The SentencePiece model `source` as a GGUF file without weights.

    Args:
        add_space_prefix: published conversions differ in this; llama.cpp's default is true.
    """
    model = SentencePieceProcessor(model_file=str(TOKENIZERS / source))
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_context_length(1024)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    ids = range(model.vocab_size())
    writer.add_token_list([model.id_to_piece(i).encode() for i in ids])
    writer.add_token_scores([model.get_score(i) for i in ids])
    writer.add_token_types([_kind(model, i) for i in ids])
    writer.add_bos_token_id(model.bos_id())
    writer.add_eos_token_id(model.eos_id())
    writer.add_unk_token_id(model.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(add_space_prefix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return target


def _kind(model: SentencePieceProcessor, token: int) -> gguf.TokenType:
    if model.is_unknown(token):
        return gguf.TokenType.UNKNOWN
    if model.is_control(token):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if model.is_byte(token) else gguf.TokenType.NORMAL


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
