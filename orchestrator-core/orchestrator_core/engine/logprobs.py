"""How likely a model took its tokens to be, from the logits of a decode step."""

from __future__ import annotations

from typing import Any

import numpy as np

from orchestrator_core.backend import TokenLogprob
from orchestrator_core.engine.native import lib
from orchestrator_core.engine.tokenizer import Tokenizer


def token_logprob(context: Any, index: int, token: int, top: int, tokenizer: Tokenizer) -> TokenLogprob:
    """
    Args:
        index: of the logits in the batch.
        token: that was chosen.
        top: how many of the likeliest to tell of.
    """
    logits = np.ctypeslib.as_array(lib.llama_get_logits_ith(context, index), shape=(tokenizer.size,))
    logprobs = log_softmax(logits)
    likeliest = np.argpartition(-logprobs, min(top, tokenizer.size - 1))[:top]
    likeliest = likeliest[np.argsort(-logprobs[likeliest], kind="stable")]
    best = tuple((_text(tokenizer, int(each)), float(logprobs[each])) for each in likeliest)
    return TokenLogprob(_text(tokenizer, token), float(logprobs[token]), best)


def log_softmax(logits: Any) -> Any:
    """In double precision: small differences of large logits matter."""
    shifted = logits.astype(np.float64) - float(logits.max())
    return shifted - np.log(np.exp(shifted).sum())


def _text(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.piece(token).decode("latin-1")
