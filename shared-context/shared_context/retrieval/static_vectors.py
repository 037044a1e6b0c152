"""Vectors of texts without a model that is run: the mean of their tokens' vectors, which `wordllama` carries.

Only its two files are read; nothing of the package is imported, and no hub is asked.
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared_context.errors import SharedContextError

PACKAGE = "wordllama"
WEIGHTS = "weights/l2_supercat_256.safetensors"
TOKENIZER = "tokenizers/l2_supercat_tokenizer_config.json"
NAME = f"{PACKAGE} l2_supercat 256"


class StaticEmbedder:
    """Nothing is loaded before the first use. Safe from any thread.

    Args:
        folder: holds `WEIGHTS` and `TOKENIZER`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._tokenizer: Any = None
        self._table: Any = None

    @classmethod
    def installed(cls) -> StaticEmbedder | None:
        """That of the installed package; None without it."""
        if any(find_spec(name) is None for name in ("numpy", "tokenizers")):
            return None
        spec = find_spec(PACKAGE)
        folders = [] if spec is None else [Path(at) for at in spec.submodule_search_locations or ()]
        there = (at for at in folders if (at / WEIGHTS).is_file() and (at / TOKENIZER).is_file())
        folder = next(there, None)
        return None if folder is None else cls(folder)

    def load(self) -> None:
        """
        Raises:
            SharedContextError: the files cannot be used.
        """
        with self._lock:
            if self._table is not None:
                return
            try:
                from tokenizers import Tokenizer

                tokenizer = Tokenizer.from_file(str(self._folder / TOKENIZER))
                tokenizer.no_padding()
                tokenizer.no_truncation()
                self._tokenizer, self._table = tokenizer, _table(self._folder / WEIGHTS)
            except Exception as error:  # the tokenizer's library raises bare exceptions
                raise SharedContextError(
                    f"The vectors in {self._folder} cannot be read: {error}", f"Reinstall {PACKAGE}."
                ) from error

    def embed(self, texts: Sequence[str]) -> list[Any]:
        """One float32 array a text; zeros for one without tokens.

        Raises:
            SharedContextError: the files cannot be used.
        """
        import numpy

        self.load()
        vectors = []
        for text in texts:
            tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
            rows = self._table[tokens].astype(numpy.float32)
            vectors.append(rows.mean(axis=0) if tokens else numpy.zeros(rows.shape[1], numpy.float32))
        return vectors


def _table(file: Path) -> Any:
    """The one matrix of a safetensors file, left on disk: only rows that are used are read.

    See https://huggingface.co/docs/safetensors: a little-endian length, a JSON header, the numbers.
    """
    import numpy

    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        header = json.loads(opened.read(length))
    (entry,) = (entry for name, entry in header.items() if name != "__metadata__")
    if entry["dtype"] != "F16":
        raise ValueError(f"numbers are {entry['dtype']}, not F16")
    start = 8 + length + entry["data_offsets"][0]
    return numpy.memmap(file, numpy.float16, "r", offset=start, shape=tuple(entry["shape"]))
