"""A BERT with random weights as a GGUF file, and the same weights in transformers to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNKNOWN, FIRST, LAST, MASK = range(len(SPECIAL))
WORDS = ("the", "walnut", "box", "of", "my", "aunt", "is", "behind", "chimney", "boat", "red", ".", "?", ",")
VOCABULARY = [
    *SPECIAL,
    *WORDS,
    *ascii_lowercase,
    *(f"##{letter}" for letter in ascii_lowercase),
]

POOLINGS = {
    "none": gguf.PoolingType.NONE,
    "mean": gguf.PoolingType.MEAN,
    "cls": gguf.PoolingType.CLS,
    "rank": gguf.PoolingType.RANK,
}


class TinyBert:
    """
    Args:
        path: where the file is written.
        context: tokens of a text at most, special ones included.
        pooling: what the file says of it, one of `POOLINGS`; None: nothing.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: int = 64,
        width: int = 64,
        layers: int = 2,
        pooling: str | None = "mean",
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        self.path = path
        self._pooling = pooling
        self._model = BertModel(
            BertConfig(
                vocab_size=len(VOCABULARY),
                hidden_size=width,
                num_hidden_layers=layers,
                num_attention_heads=4,
                intermediate_size=2 * width,
                max_position_embeddings=context,
                initializer_range=0.2,
            ),
            add_pooling_layer=False,
        ).eval()
        self._tokenizer = BertWordPieceTokenizer({token: at for at, token in enumerate(VOCABULARY)})
        self._write(context, width, layers)

    def tokens(self, text: str) -> list[int]:
        """With the special ones around it."""
        return list(self._tokenizer.encode(text).ids)

    def embed(self, texts: Sequence[str]) -> list[np.ndarray]:
        """What transformers makes of them, scaled to length 1."""
        return [self.embed_tokens(self.tokens(text)) for text in texts]

    def embed_tokens(self, tokens: Sequence[int]) -> np.ndarray:
        with torch.no_grad():
            states = self._model(torch.tensor([list(tokens)])).last_hidden_state[0].numpy()
        vector = states[0] if self._pooling == "cls" else states.mean(axis=0)
        return vector / np.linalg.norm(vector)

    def _write(self, context: int, width: int, layers: int) -> None:
        writer = gguf.GGUFWriter(str(self.path), "bert")
        writer.add_context_length(context)
        writer.add_embedding_length(width)
        writer.add_block_count(layers)
        writer.add_feed_forward_length(2 * width)
        writer.add_head_count(4)
        writer.add_layer_norm_eps(self._model.config.layer_norm_eps)
        writer.add_causal_attention(False)
        if self._pooling is not None:
            writer.add_pooling_type(POOLINGS[self._pooling])
        self._write_vocabulary(writer)
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.BERT, layers)
        for name, values in self._model.state_dict().items():
            ours = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if ours is not None:
                writer.add_tensor(ours, values.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()

    def _write_vocabulary(self, writer: Any) -> None:
        """As llama.cpp wants it: words begin with a mark instead of their ends being marked."""
        writer.add_tokenizer_model("bert")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([_marked(token) for token in VOCABULARY])
        kinds = gguf.TokenType
        writer.add_token_types(
            [kinds.CONTROL] * len(SPECIAL) + [kinds.NORMAL] * (len(VOCABULARY) - len(SPECIAL))
        )
        writer.add_token_type_count(2)
        writer.add_pad_token_id(PAD)
        writer.add_unk_token_id(UNKNOWN)
        writer.add_bos_token_id(FIRST)
        writer.add_sep_token_id(LAST)
        writer.add_eos_token_id(LAST)
        writer.add_mask_token_id(MASK)


def _marked(token: str) -> str:
    if token in SPECIAL:
        return token
    return token.removeprefix("##") if token.startswith("##") else "\N{LOWER ONE EIGHTH BLOCK}" + token
