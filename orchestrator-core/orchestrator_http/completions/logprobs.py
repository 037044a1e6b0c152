"""OpenAI's two wire forms of how likely tokens were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orchestrator_core.backend import TokenLogprob


def chat_logprobs(logprobs: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    """Of `/v1/chat/completions`."""
    content = [
        {**_entry(piece, logprob), "top_logprobs": [_entry(*each) for each in top]}
        for piece, logprob, top in logprobs
    ]
    return {"content": content, "refusal": None} if content else None


def text_logprobs(logprobs: Sequence[TokenLogprob], offset: int = 0) -> dict[str, Any] | None:
    """Of `/v1/completions`.

    Args:
        offset: characters of text before these tokens.
    """
    if not logprobs:
        return None
    tokens = [_text(piece) for piece, _, _ in logprobs]
    offsets = [offset + sum(map(len, tokens[:at])) for at in range(len(tokens))]
    return {
        "tokens": tokens,
        "token_logprobs": [logprob for _, logprob, _ in logprobs],
        "top_logprobs": [{_text(piece): logprob for piece, logprob in top} for _, _, top in logprobs],
        "text_offset": offsets,
    }


def _entry(piece: str, logprob: float) -> dict[str, Any]:
    return {"token": _text(piece), "logprob": logprob, "bytes": list(piece.encode("latin-1"))}


def _text(piece: str) -> str:
    return piece.encode("latin-1").decode("utf-8", "replace")
