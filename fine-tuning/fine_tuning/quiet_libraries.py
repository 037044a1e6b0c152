"""Progress bars and remarks of libraries, switched off while ours are shown."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

TALKERS = ("bitsandbytes", "peft", "trl", "accelerate", "transformers")


@contextmanager
def silenced() -> Iterator[None]:
    """While inside, only errors of those libraries are heard."""
    import datasets
    from transformers.utils import logging as hf_logging

    hf_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    loggers = [logging.getLogger(name) for name in TALKERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def without_deprecations() -> Iterator[None]:
    """While inside, peft may ask transformers by a name that has a newer one; nobody here can mend that."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*gradient_checkpointing", category=FutureWarning)
        yield
