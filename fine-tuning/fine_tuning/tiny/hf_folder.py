"""Saves a trained model as a folder that Hugging Face transformers, and this project's backend, load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fine_tuning.tiny.chat_format import CHAT_TEMPLATE
from fine_tuning.tiny.tokenizer import BOS, EOS, PAD, UNK

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def save_hf_folder(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Weights, configuration, tokenizer and chat template."""
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        pad_token=PAD,
        add_bos_token=True,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    wrapped.model_max_length = model.config.max_position_embeddings
    wrapped.save_pretrained(folder)
