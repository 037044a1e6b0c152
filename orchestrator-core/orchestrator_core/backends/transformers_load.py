"""Loading Hugging Face models: weights, quantisation, adapter, and errors that say what to do.

Imported lazily, by `TransformersBackend.load` only. Attention is always torch's SDPA: it needs
no extra package and runs on every device (FlashAttention 2 does not support Turing).

Run and tested on a CPU, quantised and not. Not run on: CUDA, MPS, several GPUs.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from orchestrator_core.backends.hardware import Hardware, Quantization
from orchestrator_core.errors import (
    BackendError,
    ConfigurationError,
    MissingExtra,
    ModelUnusable,
    OrchestratorError,
)
from orchestrator_core.settings import LoraSettings

log = logging.getLogger(__name__)


def look_at_hardware() -> Hardware:
    """What torch finds on this machine, now."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return Hardware(
        cuda_devices=count,
        cuda_name=torch.cuda.get_device_name(0) if count else "",
        cuda_capability=cast(tuple[int, int], torch.cuda.get_device_capability(0)) if count else (0, 0),
        mps=bool(torch.backends.mps.is_available()),
    )


def use_threads(count: int) -> None:
    """CPU threads of one computation, for the whole process."""
    torch.set_num_threads(count)


@contextmanager
def explained(source: str) -> Iterator[None]:
    """Turns what loading libraries raise into errors that say what to do."""
    try:
        yield
    except OrchestratorError:
        raise
    except ImportError as error:
        package = "bitsandbytes" if "bitsandbytes" in str(error) else (error.name or "transformers")
        raise MissingExtra(package, "hf", f"Loading {source!r}") from error
    except torch.OutOfMemoryError as error:
        raise out_of_memory(f"loading {source!r}", ModelUnusable) from error
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise _load_error(source, error) from error
    except Exception as error:  # safetensors and tokenizers raise bare Exception subclasses
        raise ModelUnusable(f"The model {source!r} cannot be loaded: {first_line(error)}") from error


def _load_error(source: str, error: Exception) -> OrchestratorError:
    text = str(error)
    if "trust_remote_code" in text or "execute" in text:
        return ModelUnusable(
            f"The model {source!r} brings its own code, which is never run here.",
            hint="Use a model of a built-in architecture, or its GGUF conversion.",
        )
    return ModelUnusable(
        f"The model {source!r} cannot be loaded: {first_line(error)}",
        hint="Check that the folder is complete: config.json, tokenizer files and *.safetensors.",
    )


def first_line(error: Exception) -> str:
    """What a library says, without its essay."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def out_of_memory(doing: str, kind: type[BackendError] = BackendError) -> BackendError:
    """The error for a full device."""
    return kind(
        f"The device ran out of memory while {doing}.",
        hint="Set quantization.enabled with load_in_bits 4, a smaller model.context_length, or model.device cpu.",
        code="out_of_memory",
    )


def load_model(
    source: str,
    dtype: str,
    placement: str,
    quantization: Quantization | None,
    lora: LoraSettings,
    adapter: str | None = None,
) -> Any:
    """The weights on their device, with the adapter attached.

    Args:
        source: the model's folder.
        lora: its shape, for a fresh adapter.
        adapter: the adapter's folder; None: a fresh one if `lora.enabled`, else none.

    Raises:
        ModelUnusable, MissingExtra, ConfigurationError.
    """
    disable_progress_bar()
    options: dict[str, Any] = {}
    with explained(source):
        if quantization is not None:
            options["quantization_config"] = _bitsandbytes(quantization)
        model = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=getattr(torch, dtype),
            device_map=placement if placement == "auto" else {"": placement},
            attn_implementation="sdpa",
            trust_remote_code=False,
            **options,
        )
    if lora.enabled or adapter is not None:
        model = _with_adapter(model, lora, adapter)
    model.eval()
    return model


def _bitsandbytes(quantization: Quantization) -> Any:
    import bitsandbytes  # noqa: F401  (missing: say so, rather than transformers' own words)
    from transformers import BitsAndBytesConfig

    if quantization.bits == 8:
        # It multiplies in float16 whatever comes in, and says so at every layer of every token.
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=quantization.double,
        bnb_4bit_compute_dtype=getattr(torch, quantization.compute),
    )


def _with_adapter(model: Any, lora: LoraSettings, adapter: str | None) -> Any:
    """Attaches the adapter; without a path a fresh one, which changes nothing until it is trained."""
    try:
        import peft
    except ImportError as error:
        raise MissingExtra("peft", "hf", "A LoRA adapter") from error
    with warnings.catch_warnings():
        # This peft asks transformers by a name that has a newer one; nobody here can mend that.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        return _attach(peft, model, lora, adapter)


def _attach(peft: Any, model: Any, lora: LoraSettings, adapter: str | None) -> Any:
    if adapter is None:
        log.warning(
            "lora.enabled without lora.path: a fresh adapter is attached; answers are the base model's."
        )
        fresh = peft.LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=lora.target_modules,
            task_type="CAUSAL_LM",
        )
        try:
            return peft.get_peft_model(model, fresh)
        except ValueError as error:
            raise ConfigurationError(
                f"lora.target_modules do not fit the model: {first_line(error)}"
            ) from error
    with explained(adapter):
        return peft.PeftModel.from_pretrained(model, adapter)
