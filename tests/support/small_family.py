"""One random-weight model of each family, small enough to train inside a test."""

from __future__ import annotations

from pathlib import Path

from support.tiny_hf import save_tokenizer

FAMILIES = ("mistral", "llama", "qwen2", "qwen3", "phi3", "gemma3_text")


def save_family(folder: Path, family: str, *, seed: int = 0) -> Path:
    """A two-layer model of that `model_type`, its tokenizer beside it."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        family,
        # Room for the tokens that a family's tokenizer adds by itself.
        vocab_size=save_tokenizer(folder) + 8,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=family == "gemma3_text",
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder
