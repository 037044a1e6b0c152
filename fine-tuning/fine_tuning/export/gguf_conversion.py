"""Hugging Face folders and adapters to GGUF, by llama.cpp's own converters and its quantiser."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from shared_context.child_environment import child_environment

from fine_tuning.errors import ExportFailed
from fine_tuning.llama_source import llama_source

QUANTISATIONS: Mapping[str, str] = {
    "Q4_K_M": "LLAMA_FTYPE_MOSTLY_Q4_K_M",
    "Q8_0": "LLAMA_FTYPE_MOSTLY_Q8_0",
    "Q5_K_M": "LLAMA_FTYPE_MOSTLY_Q5_K_M",
    "Q3_K_M": "LLAMA_FTYPE_MOSTLY_Q3_K_M",
    "Q4_0": "LLAMA_FTYPE_MOSTLY_Q4_0",
}
"""Names on the command line to llama.cpp's."""
DEFAULT_QUANTISATION = "Q4_K_M"
FULL_BYTES = 1 << 20
"""With less room a program that failed had no disk left; its own words ('iostream error') do not say so."""


def model_gguf(folder: Path, target: Path) -> Path:
    """The model of a Hugging Face folder as f16.

    Raises:
        ExportFailed: an architecture or tokenizer that the converter does not know, or a damaged folder.
    """
    return _convert("convert_hf_to_gguf.py", [str(folder), "--outtype", "f16"], target)


def builtin_gguf(
    folder: Path, target: Path, form: str = "q8_0", about: Mapping[str, object] | None = None
) -> Path:
    """The built-in model, or one of its shape and tokenizer, in the form of `--outtype`.

    Args:
        about: GGUF keys (`general.…`) and values that the file says of itself.

    Raises:
        ExportFailed: see `model_gguf`.
    """
    with TemporaryDirectory() as scratch:
        metadata = Path(scratch, "metadata.json")
        metadata.write_text(json.dumps(dict(about or {})), "utf-8")
        arguments = [str(folder), "--outtype", form, "--metadata", str(metadata)]
        return _convert("convert_hf_to_gguf.py", arguments, target, "-m", "fine_tuning.tiny.converter")


def lora_gguf(adapter: Path, base: Path, target: Path) -> Path:
    """The adapter as f16, to be loaded beside its base. Of the base only its configuration is read.

    Raises:
        ExportFailed: see `model_gguf`.
    """
    arguments = [str(adapter), "--base", str(base), "--outtype", "f16"]
    return _convert("convert_lora_to_gguf.py", arguments, target)


def quantised(source: Path, target: Path, kind: str = DEFAULT_QUANTISATION, threads: int = 0) -> Path:
    """`source` (f16) in fewer bits.

    Args:
        kind: one of QUANTISATIONS.
        threads: 0: all.

    Raises:
        ExportFailed: another kind, or the quantiser fails.
    """
    if kind not in QUANTISATIONS:
        raise ExportFailed(f"Unknown quantisation {kind!r}; known: {', '.join(QUANTISATIONS)}.")
    # In a child: a native crash would take the caller along.
    command = [
        sys.executable,
        "-m",
        "fine_tuning.export.quantise",
        str(source),
        QUANTISATIONS[kind],
        str(threads),
    ]
    return _written(command, target)


def _convert(script: str, arguments: list[str], target: Path, *launcher: str) -> Path:
    converter = llama_source() / script
    return _written([sys.executable, *launcher, str(converter), *arguments, "--outfile"], target)


def _written(command: list[str], target: Path) -> Path:
    """Run the command with a file name at its end, and put what it wrote in place."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.stem}.part.gguf")
    try:
        result = subprocess.run(  # noqa: S603 - our interpreter, llama.cpp's scripts by hash
            [*command, str(part)],
            capture_output=True,
            text=True,
            errors="replace",
            env=child_environment({"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}),
            check=False,
        )
        if result.returncode or not part.is_file():
            full = shutil.disk_usage(target.parent).free < FULL_BYTES
            reason = f"the disk of {str(target.parent)!r} is full" if full else _reason(result.stderr)
            raise ExportFailed(f"{target.name} could not be written: {reason}")
        part.replace(target)
    except OSError as error:
        raise ExportFailed(f"{target.name} could not be written: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _reason(said: str) -> str:
    """The last line of what a program complained about."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "the converter ended without a word"
