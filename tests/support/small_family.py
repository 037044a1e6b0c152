"""One random-weight model of each family, small enough to train and export inside a test."""

from __future__ import annotations

from pathlib import Path

from support.tiny_hf import save_tokenizer

FAMILIES = ("mistral", "llama", "qwen2", "qwen3", "phi3", "gemma3_text")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}ask {{ m.content }} say"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)


def save_family(folder: Path, family: str, *, seed: int = 0, **changes: object) -> Path:
    """A two-layer model of that `model_type`, its tokenizer beside it; keywords change its configuration."""
    # Room for the tokens that a family's tokenizer adds by itself.
    return _save(folder, family, save_tokenizer(folder) + 8, seed, changes)


def save_exportable(folder: Path, *, seed: int = 0, **changes: object) -> Path:
    """A Llama-shaped model with a SentencePiece vocabulary, which llama.cpp's converter knows."""
    import sentencepiece
    from transformers import LlamaTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(
            ["the cat sat on the mat and the dog sat on the log", "what is that number"] * 9
        ),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=320,
        model_type="bpe",
        byte_fallback=True,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    (folder / "tokenizer.vocab").unlink()
    tokenizer = LlamaTokenizer.from_pretrained(folder, add_prefix_space=False)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return _save(folder, "llama", len(tokenizer), seed, changes)


def _save(folder: Path, family: str, vocabulary: int, seed: int, changes: dict[str, object]) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "tie_word_embeddings": family == "gemma3_text",
    }
    config = AutoConfig.for_model(family, **(shape | changes))
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder
