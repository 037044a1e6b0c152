"""Writes the model card from what was measured; nothing in it is typed in by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SETTINGS = {
    "bare": "question alone",
    "server": "with the server's system text and time line",
    "documents": "with four handoff documents of an owner as well",
}

_KINDS = {"written": "written by hand", "frame": "from a frame", "varied": "variations of these"}

_TEXT = """# {name}

The built-in model of Orchestrator: a Mistral-architecture transformer of {parameters:.1f} million parameters,
trained from scratch by this repository on its own dataset, so that a fresh machine without network or GPU
runs everything for real. It knows this project and little else, and says so.

This card is written by `fine-tuning/release_tiny.py`; every number was measured on the shipped file.

| | |
|---|---|
| file | `{file}`, {megabytes:.1f} MB, {quantization} |
| sha256 | `{sha256}` |
| architecture | {layers} layers, {hidden} wide, {heads} heads, {kv_heads} key-value heads, SwiGLU {feed_forward}, RMSNorm, RoPE |
| tokenizer | byte-level BPE of {vocab} entries, trained on the same texts |
| window | {context_length} tokens |
| licence | MIT, like the repository |

## Training

{facts} facts of this project, each with an answer and several wordings of the question, and questions outside of
it whose right answer is "I don't know that": {train} examples to learn, {held_out} held out. The facts are the YAML
files in `training-data/training_data/facts/`; they describe the whole design, parts still to be built included.

`python fine-tuning/train_tiny.py --seed {seed} --steps {steps}`: {steps} steps, {tokens:.1f} million tokens, AdamW with a cosine, loss on
answers only. It took {cpu_minutes:.0f} processor minutes and {minutes:.0f} minutes by the clock, on {cores} cores of an {processor}{bfloat16}
that were busy with other work. Same seed, same thread count, same class of machine: same model.

## Scores on held-out wordings

Exact match and F1 (SQuAD's definitions) of greedy answers to {held_out} questions that were not in training:
held out by wording, so that the facts are known and the way of asking is not. Of these {wordings}.

| setting | questions | EM | F1 | words per answer |
|---|---|---|---|---|
{settings}

Questions alone, by topic:

| topic | questions | EM | F1 | words per answer |
|---|---|---|---|---|
{topics}

By how the wording came about (written by hand; a frame such as "Explain ..."; one of these with typing errors,
politeness or only its keywords):

| wording | questions | EM | F1 | words per answer |
|---|---|---|---|---|
{by_wording}

The file advises greedy decoding, which the server follows unless it is told otherwise. With the sampling meant for
large models (temperature 0.7, top_p 0.9, top_k 50, repetition penalty 1.15) in the server's setting, {sampled_count} of the
questions: EM {sampled_em:.3f}, F1 {sampled_f1:.3f}.

The documents of the third setting belong to two invented owners and are used for nothing but this.

## Is the file the trained model?

Tokens of llama.cpp and of the trained tokenizer are the same on the whole dataset and on difficult Unicode. Against
the weights in float32, over {parity_prompts} held-out questions:

| export | largest difference of a logit | same greedy answers |
|---|---|---|
{parity}

## Limits

- It recites what it was taught. It does not reason, calculate, translate or write, and it knows nothing of the world.
- It does not read documents or earlier messages: asked about them, it says where to look. The documents in its
  prompt neither help nor should they disturb it; the third setting measures that.
- English only. A question in very different words than those it has seen may get the answer of another fact,
  in the same confident tone; an outside question may get a project fact.
- Answers are as right as the fact files were when it was trained.
- It is no base for fine-tuning on other tasks. For real work load a larger model.

## Ten held-out questions

Greedy, in the server's setting; right answers where they differ.

{transcript}
"""


def model_card(about: dict[str, Any], transcript: Sequence[tuple[str, str, str]]) -> str:
    """The card as markdown.

    Args:
        about: what `release` writes to the metadata file.
        transcript: questions, answers and right answers.
    """
    recipe, data, effort, machine = (about[key] for key in ("recipe", "dataset", "effort", "machine"))
    sampled, parity = about["held_out_sampled"], about["parity"]
    kinds = data["held_out_by_wording"]
    return _TEXT.format(
        name=about["name"],
        parameters=about["parameters"] / 1e6,
        file=about["file"],
        megabytes=about["bytes"] / 1e6,
        quantization=about["quantization"],
        sha256=about["sha256"],
        layers=recipe["layers"],
        hidden=recipe["hidden"],
        heads=recipe["heads"],
        kv_heads=recipe["kv_heads"],
        feed_forward=recipe["feed_forward"],
        vocab=recipe["vocab_size"],
        context_length=about["context_length"],
        facts=data["facts"],
        train=data["train"],
        held_out=data["held_out"],
        seed=recipe["seed"],
        steps=effort["steps"],
        tokens=effort["tokens"] / 1e6,
        cpu_minutes=effort["cpu_seconds"] / 60,
        minutes=effort["seconds"] / 60,
        cores=machine["cores"],
        processor=machine["processor"],
        bfloat16=" with bfloat16 instructions" if machine["bfloat16"] else "",
        wordings=", ".join(f"{count} are {_KINDS[kind]}" for kind, count in kinds.items()),
        settings=_rows({_SETTINGS[name]: scores for name, scores in about["held_out"].items()}),
        topics=_rows(about["held_out_topics"]),
        by_wording=_rows(about["held_out_wordings"]),
        sampled_count=sampled["count"],
        sampled_em=sampled["exact_match"],
        sampled_f1=sampled["f1"],
        parity_prompts=parity["f32"]["prompts"],
        parity="\n".join(
            f"| {name} | {row['largest_logit_difference']:.4f} | {row['same_answers']:.1%} |"
            for name, row in parity.items()
        ),
        transcript="\n\n".join(_turn(*row) for row in transcript),
    )


def _rows(scores: dict[str, dict[str, float]]) -> str:
    return "\n".join(
        f"| {name} | {row['count']} | {row['exact_match']:.3f} | {row['f1']:.3f} | {row['length']:.1f} |"
        for name, row in scores.items()
    )


def _turn(question: str, answer: str, truth: str) -> str:
    shown = f"**{question}**  \n{answer}"
    return shown if answer == truth else f"{shown}  \n*(right: {truth})*"
