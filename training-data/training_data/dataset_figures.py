"""What a dataset holds, in figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training_data.duplicates import repeated
from training_data.errors import DatasetSourceError, MissingLibrary
from training_data.records import Record

TokenCounter = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of whole examples, all turns together without the chat template's marks."""

    least: int
    median: int
    p95: int
    most: int
    total: int


@dataclass(frozen=True, slots=True)
class Figures:
    """
    Args:
        unit: of the lengths: tokens, or words where no tokenizer was given.
        repeated: examples that say again what an earlier one does.
    """

    examples: int
    facts: int
    topics: dict[str, int]
    sources: dict[str, int]
    licences: dict[str, int]
    unit: str
    lengths: Lengths
    answers: Lengths
    repeated: int


def figures(records: Sequence[Record], count_tokens: TokenCounter | None = None) -> Figures:
    """Everything at once. There is at least one record."""
    count = count_tokens or (lambda text: len(text.split()))
    answers = [count(record.answer) for record in records]
    prompts = [sum(count(turn.content) for turn in record.turns[:-1]) for record in records]
    return Figures(
        examples=len(records),
        facts=len({record.fact for record in records if record.fact}),
        topics=dict(Counter(record.topic or "-" for record in records)),
        sources=dict(Counter(record.source.partition(":")[0] or "-" for record in records)),
        licences=dict(Counter(record.licence or "-" for record in records)),
        unit="tokens" if count_tokens else "words",
        lengths=_lengths([prompt + answer for prompt, answer in zip(prompts, answers, strict=True)]),
        answers=_lengths(answers),
        repeated=len(repeated(records)),
    )


def token_counter(path: Path) -> TokenCounter:
    """Counts with a model's own tokenizer.

    Args:
        path: a GGUF file, a tokenizer.json, or a folder with one.

    Raises:
        DatasetSourceError: it is none of these. MissingLibrary: a GGUF needs llama-cpp-python.
    """
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        raise DatasetSourceError(
            f"There is no tokenizer at {str(path)!r}.",
            "Give a GGUF file, a tokenizer.json, or a folder with one.",
        )
    try:
        return _gguf_counter(file) if file.suffix == ".gguf" else _json_counter(file)
    except ImportError as error:
        raise MissingLibrary(f"{error.name} is missing.", "Run `orchestrator install gguf`.") from error
    except Exception as error:  # both libraries raise bare exceptions
        raise DatasetSourceError(
            f"{str(file)!r} holds no tokenizer: {error}", "Give another file."
        ) from error


def _json_counter(file: Path) -> TokenCounter:
    from tokenizers import Tokenizer

    tokenizer: Any = Tokenizer.from_file(str(file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


def _gguf_counter(file: Path) -> TokenCounter:
    import llama_cpp

    vocabulary: Any = llama_cpp.Llama(str(file), vocab_only=True, verbose=False)
    return lambda text: len(vocabulary.tokenize(text.encode(), add_bos=False, special=False))


def _lengths(values: Sequence[int]) -> Lengths:
    median, p95 = np.percentile(values, (50, 95), method="nearest")
    return Lengths(min(values), int(median), int(p95), max(values), sum(values))
