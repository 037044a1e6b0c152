"""The model a training starts from: found, loaded in 4 bits or whole, with a tokenizer that can chat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fine_tuning.errors import BaseModelError
from fine_tuning.training.precision import TORCH_NAMES, ComputeDevice
from fine_tuning.training.recipe import TrainingRecipe

PLAIN_TEMPLATE = (
    "{{ bos_token }}"
    "{% set ns = namespace(system='') %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{% set ns.system = message['content'] + '\\n\\n' %}"
    "{% elif message['role'] == 'user' %}"
    "{{ ' [INST] ' + ns.system + message['content'] + ' [/INST]' }}{% set ns.system = '' %}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)
"""What a model without a template is trained to see: the form the servers write for such a model."""


def resolved(name: str) -> str:
    """The folder or hub name that transformers loads; a GGUF file is unpacked first.

    Raises:
        BaseModelError: a path that does not exist or is no model.
    """
    path = Path(name).expanduser()
    if path.is_file():
        from fine_tuning.training.gguf_folder import unpacked

        return str(unpacked(path))
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise BaseModelError(f"The folder {name!r} has no config.json: it is no Hugging Face model.")
        return str(path.resolve())
    if path.is_absolute() or name.startswith((".", "~")) or path.suffix == ".gguf" or name.count("/") != 1:
        raise BaseModelError(f"There is no model at {name!r}.")
    return name


def load_tokenizer(source: str, recipe: TrainingRecipe) -> Any:
    """The tokenizer, with a chat template and a token to pad with.

    Raises:
        BaseModelError: it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source, trust_remote_code=recipe.trust_remote_code)
    except (OSError, ValueError, KeyError) as error:
        raise BaseModelError(explained(source, error)) from error
    if recipe.chat_template is not None:
        try:
            tokenizer.chat_template = recipe.chat_template.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BaseModelError(
                f"The chat template {str(recipe.chat_template)!r} cannot be read: {error}"
            ) from error
    elif not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def load_base(source: str, recipe: TrainingRecipe, device: ComputeDevice) -> Any:
    """The weights on the device, frozen by the adapter that comes later.

    Raises:
        BaseModelError: they cannot be loaded.
        torch.OutOfMemoryError: they do not fit.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = getattr(torch, TORCH_NAMES[device.dtype(recipe.dtype)])
    options: dict[str, Any] = {}
    if recipe.quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=dtype,
            device_map={"": _place(device)},
            # Turing has no FlashAttention 2; SDPA runs everywhere.
            attn_implementation="sdpa",
            trust_remote_code=recipe.trust_remote_code,
            **options,
        )
    except torch.OutOfMemoryError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise BaseModelError(explained(source, error)) from error
    model.config.use_cache = False
    for module in model.modules():
        # On processors with AVX512-BF16 bitsandbytes repacks a layer at its first pass without gradients, such
        # as an evaluation, into a form whose kernel has no backward pass: training would go on, wrongly.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model


def _place(device: ComputeDevice) -> Any:
    if device.kind != "cuda":
        return device.kind
    import os

    # One process per GPU under `accelerate launch`.
    return int(os.environ.get("LOCAL_RANK", 0))


def explained(source: str, error: Exception) -> str:
    """Why the library could not load it, in a sentence."""
    text = str(error)
    if "trust_remote_code" in text:
        return (
            f"The model {source!r} brings its own code; --trust_remote_code runs it, if you trust its source."
        )
    first = (text.strip().splitlines() or [type(error).__name__])[0][:300]
    return f"The model {source!r} cannot be loaded: {first}"
