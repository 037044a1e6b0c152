"""Trains the built-in model from scratch, with checkpoints that an interrupted run resumes from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from tokenizers import Tokenizer
from training_data.dataset import Example, Split, build_examples, split_examples
from transformers import MistralConfig, MistralForCausalLM

from fine_tuning.conversations import Conversations
from fine_tuning.loss_curve import LossPoint, write_curve
from fine_tuning.packing import Batch, to_batch
from fine_tuning.surroundings import starter_documents as load_starters
from fine_tuning.surroundings import system_text, time_line, with_documents
from fine_tuning.tiny_recipe import TinyRecipe
from fine_tuning.tokenizer import BOS, EOS, PAD, token_id, train_tokenizer

CHECKPOINT = "checkpoint.pt"
VALIDATION_SEED_STEP = -1
"""Validation rows are drawn like those of a training step that never comes."""


class TrainingError(RuntimeError):
    """A run folder cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one progress line says.

    Args:
        loss: mean over the steps since the last line.
        tokens_per_s: trained tokens by wall clock since this process began.
        left_s: seconds to go at that speed.
    """

    step: int
    steps: int
    loss: float
    validation_loss: float | None
    tokens_per_s: float
    left_s: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished model: everything export and evaluation need."""

    model: MistralForCausalLM
    tokenizer: Tokenizer
    split: Split
    seconds: float
    tokens: int


def train(
    recipe: TinyRecipe,
    folder: Path,
    *,
    threads: int = 1,
    report: Callable[[Progress], None] = lambda _: None,
    stop_after: int | None = None,
) -> Trained | None:
    """Train in `folder`, or resume what was begun there.

    Args:
        threads: of torch. Another number may round sums differently and so give other weights.
        report: called about every 25 steps.
        stop_after: end after this step, as an interruption would; then the result is None.

    Raises:
        TrainingError: the folder holds a run of another recipe.
    """
    torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, recipe)
    split = split_examples(build_examples(recipe.seed), recipe.val_split, recipe.seed)
    tokenizer = _tokenizer(folder, split.train, recipe)
    run = _Run(recipe, folder, tokenizer, split)
    run.restore()
    if not run.go(report, stop_after):
        return None
    _save_model(run.model, tokenizer, folder)
    return Trained(run.model, tokenizer, split, run.seconds, run.tokens)


def tokenizer_texts(examples: Sequence[Example], seed: int) -> list[str]:
    """What the tokenizer is trained on: the dataset, the starters, and surroundings like theirs."""
    starters, random = load_starters(), Random(f"{seed}:tokenizer")
    texts = [text for example in examples for text in (example.instruction, " " + example.output)]
    texts += list(starters.values()) * 3
    texts += [with_documents(random, starters, 1500) for _ in range(60)]
    texts += [system_text(random) for _ in range(20)] + [time_line(random) for _ in range(200)]
    return texts


def build_model(recipe: TinyRecipe, tokenizer: Tokenizer) -> MistralForCausalLM:
    """A model with random weights that depend on the seed only."""
    torch.manual_seed(recipe.seed)
    config = MistralConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=recipe.hidden,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        head_dim=recipe.hidden // recipe.heads,
        intermediate_size=recipe.feed_forward,
        max_position_embeddings=recipe.context_length,
        sliding_window=None,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=token_id(tokenizer, BOS),
        eos_token_id=token_id(tokenizer, EOS),
        pad_token_id=token_id(tokenizer, PAD),
        attn_implementation="sdpa",
    )
    return MistralForCausalLM(config)


def learning_rate(recipe: TinyRecipe, step: int) -> float:
    """Linear warm-up, then a cosine down to a fiftieth."""
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    return recipe.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


class _Run:
    """State of one training: what a checkpoint holds."""

    def __init__(self, recipe: TinyRecipe, folder: Path, tokenizer: Tokenizer, split: Split) -> None:
        self._recipe, self._folder = recipe, folder
        self._pad = token_id(tokenizer, PAD)
        self._data = Conversations(split.train, tokenizer, recipe)
        self._held_out = Conversations(split.val, tokenizer, recipe) if split.val else None
        self.model = build_model(recipe, tokenizer)
        decayed = [p for p in self.model.parameters() if p.dim() > 1]
        plain = [p for p in self.model.parameters() if p.dim() <= 1]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": recipe.weight_decay},
                {"params": plain, "weight_decay": 0.0},
            ],
            lr=recipe.learning_rate,
            betas=(0.9, 0.95),
            fused=True,
        )
        self.step, self.seconds, self.tokens = 0, 0.0, 0
        self._curve: list[LossPoint] = []

    def go(self, report: Callable[[Progress], None], stop_after: int | None) -> bool:
        """Train to the end; False when stopped before."""
        recipe, losses = self._recipe, []
        began, tokens_before, seconds_before = time.perf_counter(), self.tokens, self.seconds
        self.model.train()
        while self.step < recipe.steps:
            if stop_after is not None and self.step >= stop_after:
                return False
            losses.append(self._one_step())
            elapsed = time.perf_counter() - began
            self.seconds = seconds_before + elapsed
            last = self.step == recipe.steps
            checkpoint = last or self.step % recipe.checkpoint_every == 0
            if checkpoint or self.step % 25 == 0:
                validation = self._validation_loss() if checkpoint else None
                loss = sum(losses) / len(losses)
                losses.clear()
                speed = (self.tokens - tokens_before) / elapsed
                left = (recipe.steps - self.step) * recipe.step_tokens / speed
                self._curve.append(LossPoint(self.step, loss, validation))
                report(Progress(self.step, recipe.steps, loss, validation, speed, left))
            if checkpoint:
                self._save()
        return True

    def restore(self) -> None:
        """Continue from the checkpoint, if there is one."""
        file = self._folder / CHECKPOINT
        if not file.is_file():
            return
        state = torch.load(file, weights_only=True)
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.tokens = state["step"], state["seconds"], state["tokens"]
        self._curve = [LossPoint(*point) for point in state["curve"]]

    def _save(self) -> None:
        file = self._folder / CHECKPOINT
        part = file.with_suffix(".part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "tokens": self.tokens,
                "curve": [point.as_tuple() for point in self._curve],
            },
            part,
        )
        part.replace(file)
        write_curve(self._curve, self._folder)

    def _one_step(self) -> float:
        rate = learning_rate(self._recipe, self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = to_batch(self._data.rows(self.step), self._pad)
        loss = self._loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        self.tokens += batch.ids.numel()
        return float(loss.detach())

    def _loss(self, batch: Batch) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=fast_bfloat16()):
            hidden = self.model.model(
                input_ids=batch.ids,
                attention_mask=batch.mask,
                position_ids=batch.positions,
                use_cache=False,
            ).last_hidden_state
            logits = self.model.lm_head(hidden.flatten(0, 1)[batch.predict_at])
        return torch.nn.functional.cross_entropy(logits.float(), batch.targets)

    def _validation_loss(self) -> float | None:
        if self._held_out is None:
            return None
        self.model.eval()
        with torch.no_grad():
            losses = [
                float(self._loss(to_batch(self._held_out.rows(VALIDATION_SEED_STEP - i), self._pad)))
                for i in range(4)
            ]
        self.model.train()
        return sum(losses) / len(losses)


def fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 in hardware; elsewhere float32 is faster."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def _claim(folder: Path, recipe: TinyRecipe) -> None:
    file = folder / "recipe.json"
    text = json.dumps(recipe.as_dict(), indent=1) + "\n"
    if file.is_file() and file.read_text("utf-8") != text:
        raise TrainingError(
            f"{str(folder)!r} holds a run of another recipe. Choose another folder, or delete it."
        )
    file.write_text(text, "utf-8")


def _tokenizer(folder: Path, examples: Sequence[Example], recipe: TinyRecipe) -> Tokenizer:
    file = folder / "tokenizer.json"
    if file.is_file():
        return Tokenizer.from_file(str(file))
    tokenizer = train_tokenizer(tokenizer_texts(examples, recipe.seed), recipe.vocab_size)
    tokenizer.save(str(file))
    return tokenizer


def _save_model(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    from fine_tuning.hf_folder import save_hf_folder

    save_hf_folder(model, tokenizer, folder / "hf")
