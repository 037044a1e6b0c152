"""Every number of the built-in model's training, in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TinyRecipe:
    """Size of the model and how it is trained. The defaults make the model that is shipped.

    Args:
        seed: of the dataset, its split, the weights and every batch.
        vocab_size: entries of the tokenizer at most.
        hidden, layers, heads, kv_heads, feed_forward: the Mistral architecture's sizes.
        context_length: window declared in the model; the longest training row is shorter by
            the room of an answer.
        steps: optimiser steps.
        step_tokens: tokens of one step.
        warmup: steps until the highest learning rate, which then falls along a cosine.
        learning_rate, weight_decay: of AdamW.
        val_split: share of wordings held out.
        outside_share: share of questions whose answer is that the model does not know.
        vary, thin, associate: shares of questions that are varied again each time they are seen,
            lose some of their words, or are replaced by telling words of their fact.
        short_answers: share of last answers of which only the beginning is learned. The rest of
            an answer follows from its beginning and is learned soon; what is hard is to choose
            the right one, and this way more questions fit into a step.
        first_shares, last_shares: shares of steps without any system text, with system text, and
            with documents as well, at the beginning and at the end of the training; between them
            they change evenly. What a question means is learned best where it costs least.
        checkpoint_every: steps between checkpoints.
    """

    seed: int = 20261
    vocab_size: int = 3072
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 768
    context_length: int = 2048
    steps: int = 4000
    step_tokens: int = 1024
    warmup: int = 100
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    val_split: float = 0.12
    outside_share: float = 0.17
    vary: float = 0.25
    thin: float = 0.2
    associate: float = 0.2
    short_answers: float = 0.75
    first_shares: tuple[float, float, float] = (0.85, 0.1, 0.05)
    last_shares: tuple[float, float, float] = (0.3, 0.3, 0.4)
    checkpoint_every: int = 250

    def __post_init__(self) -> None:
        if self.hidden % self.heads or self.heads % self.kv_heads:
            raise ValueError("hidden must be a multiple of heads, and heads of kv_heads.")
        if self.steps < 1 or self.step_tokens < 64 or self.checkpoint_every < 1:
            raise ValueError("steps and checkpoint_every must be at least 1, step_tokens at least 64.")

    def shares(self, step: int) -> tuple[float, ...]:
        """Shares of the three kinds at this step; the last ones also for steps outside the training."""
        done = step / self.steps if 0 <= step < self.steps else 1.0
        return tuple(
            first + (last - first) * done
            for first, last in zip(self.first_shares, self.last_shares, strict=True)
        )

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TinyRecipe:
        """What `as_dict` gave, also after a way through JSON."""
        shares = {name: tuple(values[name]) for name in ("first_shares", "last_shares")}
        return cls(**{**values, **shares})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
