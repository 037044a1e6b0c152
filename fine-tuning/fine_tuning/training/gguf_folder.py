"""A GGUF file as a Hugging Face folder to train on: weights dequantised, the tokenizer in both its forms.

transformers reads a GGUF by itself, but takes a minute each time, and llama.cpp's converter wants
SentencePiece's own file where the vocabulary is one; a GGUF holds all that file holds.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

from fine_tuning.errors import BaseModelError
from fine_tuning.llama_source import cache_folder

SENTENCEPIECE_MODELS = ("llama",)
"""llama.cpp's `tokenizer.ggml.model` of vocabularies made by SentencePiece."""


def unpacked(gguf_file: Path, cache: Path | None = None) -> Path:
    """The folder of this GGUF, made on first use (half a minute to a minute) and kept in the user's cache.

    Raises:
        BaseModelError: not a GGUF, or of an architecture that transformers does not read.
    """
    folder = (cache or cache_folder()) / "unpacked" / _digest(gguf_file)[:16]
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as scratch:
        part = Path(scratch) / "folder"
        try:
            _unpack(gguf_file.resolve(), part)
        except (OSError, ValueError, KeyError, RuntimeError, NotImplementedError) as error:
            raise BaseModelError(f"{str(gguf_file)!r} cannot be unpacked for training: {error}") from error
        if not folder.is_dir():
            part.rename(folder)
    return folder


def _unpack(gguf_file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where, name = gguf_file.parent, gguf_file.name
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name)
    model: Any = AutoModelForCausalLM.from_pretrained(where, gguf_file=name, dtype=torch.float16)
    # Dequantised: nothing of the file's form is left in the weights.
    model.hf_quantizer = None
    del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    proto = sentencepiece_model(gguf_file)
    if proto is not None:
        (folder / "tokenizer.model").write_bytes(proto)


def sentencepiece_model(gguf_file: Path) -> bytes | None:
    """SentencePiece's model file out of a GGUF; None for other vocabularies."""
    import gguf

    reader = gguf.GGUFReader(gguf_file)

    def value(name: str, default: Any = None) -> Any:
        field = reader.get_field(f"tokenizer.ggml.{name}")
        return default if field is None else field.contents()

    if value("model") not in SENTENCEPIECE_MODELS:
        return None
    from sentencepiece import sentencepiece_model_pb2

    proto: Any = sentencepiece_model_pb2
    model = proto.ModelProto()
    for text, score, kind in zip(value("tokens"), value("scores"), value("token_type"), strict=True):
        model.pieces.add(piece=text, score=score, type=kind)
    trainer = model.trainer_spec
    trainer.model_type = proto.TrainerSpec.BPE
    trainer.byte_fallback = True
    trainer.vocab_size = len(model.pieces)
    trainer.unk_id, trainer.bos_id, trainer.eos_id = (
        int(value(f"{name}_token_id", -1)) for name in ("unknown", "bos", "eos")
    )
    trainer.pad_id = int(value("padding_token_id", -1))
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = bool(value("add_space_prefix", True))
    model.normalizer_spec.remove_extra_whitespaces = False
    return bytes(model.SerializeToString())


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BaseModelError(f"{str(path)!r} cannot be read: {error}") from error
