"""A model of the built-in one's shape and a few thousand weights, made in a moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fine_tuning.tiny.hf_folder import save_hf_folder
from fine_tuning.tiny.recipe import TinyRecipe
from fine_tuning.tiny.tokenizer import train_tokenizer
from fine_tuning.tiny.training import build_model

MICRO = replace(
    TinyRecipe(),
    vocab_size=512,
    hidden=64,
    layers=2,
    heads=2,
    kv_heads=1,
    feed_forward=96,
    context_length=512,
    steps=6,
    step_tokens=256,
    warmup=2,
    checkpoint_every=3,
)
"""Widths are multiples of 32, as q8_0 demands."""

TEXTS = ["What is the relay? The relay is the connection the desktop holds open.", "日本語 Grüße 😀"] * 3


def micro_folder(folder: Path, **changes: Any) -> Path:
    """A Hugging Face folder with random weights from a fixed seed."""
    tokenizer = train_tokenizer(TEXTS, MICRO.vocab_size)
    model = build_model(replace(MICRO, **changes), tokenizer)
    _sharpen_attention(model)
    save_hf_folder(model, tokenizer, folder)
    return folder


def _sharpen_attention(model: Any) -> None:
    """Fresh weights look everywhere alike, and a wrong export of queries and keys would not show."""
    for name, weight in model.named_parameters():
        if "q_proj" in name or "k_proj" in name:
            weight.data *= 12
