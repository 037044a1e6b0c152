"""Trains the built-in model from scratch, with checkpoints that an interrupted run resumes from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import torch
from tokenizers import Tokenizer
from training_data.dataset import Example, Split, build_examples, fingerprint, split_examples
from transformers import MistralConfig, MistralForCausalLM

from fine_tuning.errors import TrainingRefused
from fine_tuning.evaluation.surroundings import starter_documents as load_starters
from fine_tuning.evaluation.surroundings import system_text, time_line, with_documents
from fine_tuning.tiny.conversations import Conversations
from fine_tuning.tiny.hf_folder import save_hf_folder
from fine_tuning.tiny.packing import Batch, to_batch
from fine_tuning.tiny.recipe import TinyRecipe
from fine_tuning.tiny.tokenizer import BOS, EOS, PAD, token_id, train_tokenizer
from fine_tuning.training.loss_curve import LossPoint, write_curve

CHECKPOINT, RUN_FILE = "checkpoint.pt", "run.json"
REPORT_EVERY = 25
"""Steps between progress lines."""
VALIDATION_SEED_STEP = -1
"""Validation rows are drawn like those of a training step that never comes."""


@dataclass(frozen=True, slots=True)
class TinyProgress:
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


@dataclass(slots=True)
class Effort:
    """What a training has cost, interruptions left out.

    Args:
        seconds: by the wall clock.
        cpu_seconds: of this process on all its threads; on a machine that does nothing else
            the wall clock shows about as much, divided by the threads.
        tokens: trained on, padding included.
    """

    steps: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished model: everything export and evaluation need."""

    model: MistralForCausalLM
    tokenizer: Tokenizer
    split: Split
    effort: Effort


def train(
    recipe: TinyRecipe,
    folder: Path,
    *,
    threads: int = 1,
    report: Callable[[TinyProgress], None] = lambda _: None,
    stop_after: int | None = None,
) -> Trained | None:
    """Train in `folder`, or resume what was begun there.

    Args:
        threads: of torch. Another number may round sums differently and so give other weights.
        report: called about every 25 steps.
        stop_after: end after this step, as an interruption would; then the result is None.

    Raises:
        TrainingRefused: the folder holds a run of another recipe.
    """
    torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    split = dataset_of(recipe)
    _claim(folder, recipe, fingerprint(split))
    tokenizer = _tokenizer(folder, split.train, recipe)
    run = _Run(recipe, folder, tokenizer, split)
    run.restore()
    if not run.go(report, stop_after):
        return None
    save_hf_folder(run.model, tokenizer, folder / "hf")
    return Trained(run.model, tokenizer, split, run.effort)


def dataset_of(recipe: TinyRecipe) -> Split:
    """What the recipe trains on and is judged by."""
    return split_examples(build_examples(recipe.seed), recipe.val_split, recipe.seed)


def effort_of(folder: Path) -> Effort:
    """What the run in this folder has cost so far.

    Raises:
        TrainingRefused: nothing was trained there.
    """
    file = folder / CHECKPOINT
    if not file.is_file():
        raise TrainingRefused(f"{str(folder)!r} holds no checkpoint: run train_tiny.py first.")
    return Effort(**torch.load(file, weights_only=True)["effort"])


def tokenizer_texts(examples: Sequence[Example], seed: int) -> list[str]:
    """What the tokenizer is trained on: the dataset, the starters, and surroundings like theirs."""
    starters, random = load_starters(), Random(f"{seed}:tokenizer")
    texts = [text for example in examples for text in (example.instruction, example.output)]
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
        as_written = replace(recipe, vary=0.0, thin=0.0, associate=0.0)
        self._held_out = Conversations(split.val, tokenizer, as_written) if split.val else None
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
        self.effort = Effort()
        self._curve: list[LossPoint] = []

    def go(self, report: Callable[[TinyProgress], None], stop_after: int | None) -> bool:
        """Train to the end; False when stopped before."""
        recipe, losses = self._recipe, []
        before, began, began_cpu = replace(self.effort), time.perf_counter(), time.process_time()
        self.model.train()
        while self.effort.steps < recipe.steps:
            if stop_after is not None and self.effort.steps >= stop_after:
                return False
            losses.append(self._one_step())
            self.effort.seconds = before.seconds + time.perf_counter() - began
            self.effort.cpu_seconds = before.cpu_seconds + time.process_time() - began_cpu
            step = self.effort.steps
            checkpoint = step == recipe.steps or step % recipe.checkpoint_every == 0
            if checkpoint or step % REPORT_EVERY == 0:
                validation = self._validation_loss() if checkpoint else None
                loss = sum(losses) / len(losses)
                losses.clear()
                speed = (self.effort.tokens - before.tokens) / (self.effort.seconds - before.seconds)
                left = (recipe.steps - step) * recipe.step_tokens / speed
                self._curve.append(LossPoint(step, loss, validation))
                report(TinyProgress(step, recipe.steps, loss, validation, speed, left))
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
        self.effort = Effort(**state["effort"])
        self._curve = [LossPoint(*point) for point in state["curve"]]

    def _save(self) -> None:
        file = self._folder / CHECKPOINT
        part = file.with_suffix(".part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "effort": asdict(self.effort),
                "curve": [point.as_tuple() for point in self._curve],
            },
            part,
        )
        part.replace(file)
        write_curve(self._curve, self._folder)

    def _one_step(self) -> float:
        rate = learning_rate(self._recipe, self.effort.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = to_batch(self._data.rows(self.effort.steps), self._pad)
        loss = self._loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.effort.steps += 1
        self.effort.tokens += batch.ids.numel()
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
        if not len(batch.targets):  # the mean over nothing would be no number and spoil the weights
            return hidden.sum() * 0
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


def _claim(folder: Path, recipe: TinyRecipe, data: str) -> None:
    file = folder / RUN_FILE
    text = json.dumps({"recipe": recipe.as_dict(), "dataset_sha256": data}, indent=1) + "\n"
    if file.is_file() and file.read_text("utf-8") != text:
        raise TrainingRefused(
            f"{str(folder)!r} holds a run of another recipe or dataset. Choose another folder, or delete it."
        )
    file.write_text(text, "utf-8")


def _tokenizer(folder: Path, examples: Sequence[Example], recipe: TinyRecipe) -> Tokenizer:
    file = folder / "tokenizer.json"
    if file.is_file():
        return Tokenizer.from_file(str(file))
    tokenizer = train_tokenizer(tokenizer_texts(examples, recipe.seed), recipe.vocab_size)
    tokenizer.save(str(file))
    return tokenizer
