"""How many questions a real model answers rightly with what the memory recalls, and without.

    python benchmarks/bench_answers.py ~/.cache/orchestrator/gemma-3-270m/gemma-3-270m-q4_k_m.gguf

The English facts of `bench_memory.py` are told over 100 sessions; each question is asked from a fresh
conversation, which is deleted again. An answer is right when it holds the text that answers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from bench_memory import FACTS, Fact, Memory, facts_in, script, with_documents
from measuring import console, describe_run, show
from orchestrator_core.assistant import open_assistant
from orchestrator_core.chat_request import ChatRequest
from orchestrator_core.settings import Settings

PATIENCE_S = 300.0
ANSWER_TOKENS = 24


def answers(facts: Sequence[Fact], model: Path, folder: Path, window: int, *, recall: bool) -> list[str]:
    """What the model says to the first question of each fact."""
    settings = Settings.model_validate(
        {
            "data": folder,
            "model": {"path": str(model), "context_length": window},
            "generation": {"temperature": 0.0},
            "context": {"retrieval_share": None if recall else 0.0},
        }
    )
    said: list[str] = []
    with open_assistant(settings) as assistant:
        told = Memory(assistant)
        if not assistant.conversations.list(limit=1):
            told.tell(script(facts, 100), one_conversation=False)
        for fact in facts:
            conversation = assistant.conversations.create().conversation_id
            question = fact.questions[0][1]
            request = ChatRequest(message=question, conversation_id=conversation, max_tokens=ANSWER_TOKENS)
            said.append(assistant.ask(request).wait(PATIENCE_S).text)
            assistant.conversations.delete(conversation)
    return said


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--facts", default="held_out", show_default=True, help="Name of a set.")
@click.option("--window", default=4096, show_default=True)
@click.option("--wrong", is_flag=True, help="Also print the wrong answers given with memory.")
def main(model: Path, facts: str, window: int, wrong: bool) -> None:
    """Right answers with and without recall."""
    describe_run()
    asked = [fact for fact in facts_in(FACTS / f"{facts}.yaml") if fact.kind == "english"]
    row = [facts]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with_documents(folder)
        for recall in (False, True):
            said = answers(asked, model, folder, window, recall=recall)
            right = [fact.key.lower() in text.lower() for fact, text in zip(asked, said, strict=True)]
            row.append(f"{sum(right)}/{len(right)}")
    if wrong:
        for fact, text, is_right in zip(asked, said, right, strict=True):
            if not is_right:
                console.print(f"{fact.questions[0][1]} [{fact.key}] {text!r}", markup=False)
    show(f"{model.name}: right answers", ["facts", "without recall", "with"], [row])


if __name__ == "__main__":
    main()
