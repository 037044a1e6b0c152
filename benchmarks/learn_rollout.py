"""A trained adapter on its way: into the desktop's registry, past the gate, to the VPS, and back.

Real processes: a desktop that runs all the while and a VPS that it is enrolled with.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
from support.command_line import run
from support.fleet import Fleet

EVAL_S = 1800.0


def roll_out(folder: Path, base: Path, adapter: Path, training: Path, questions: Path) -> None:
    """Print every step and who answers after it.

    Args:
        base: GGUF of the model that answers first.
        adapter: GGUF of what was learnt; `training` is its run's folder.
        questions: held-out examples, which the gate compares.

    Raises:
        RuntimeError: a step failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    question = json.loads(questions.read_text().splitlines()[0])["instruction"]
    with Fleet(folder, desktop=str(base), vps=str(base)) as fleet:
        fleet.connect()

        def orchestrator(*arguments: str) -> str:
            done = run(fleet.desktop.command_line(list(arguments)), fleet.desktop_env, timeout_s=EVAL_S)
            click.echo(f"$ orchestrator {' '.join(arguments)}")
            if done.returncode != 0:
                raise RuntimeError(done.stdout + done.stderr)
            click.echo("".join(f"  {line}\n" for line in done.stdout.strip().splitlines()[-3:]), nl=False)
            return done.stdout

        def ask(tier: str) -> None:
            answer = fleet.client.ask({"message": question, "max_tokens": 32, "tier": tier}).done
            receipt = answer["receipt"]
            who = " + ".join(filter(None, (receipt["base"], receipt["adapter"]))) or receipt["model"]
            text = " ".join(answer["response"].split())
            click.echo(f"[{answer['tier']}: {who}] {question}\n  {text!r}")

        ask("desktop")
        orchestrator("models", "add", str(base), "--name", "base")
        orchestrator(
            "models", "add", str(adapter), "--name", "learnt", "--base", "base", "--run", str(training)
        )
        orchestrator("models", "activate", "base")
        for version in ("base", "learnt"):
            orchestrator("eval", str(questions), "--model", version, "-o", "max_tokens", "48")
        orchestrator("models", "activate", "learnt")
        ask("desktop")
        orchestrator("models", "push", "learnt")
        fleet.desktop.stop()
        fleet.wait_for_tier("vps")
        ask("vps")
        fleet.desktop.start()
        fleet.wait_for_tier("desktop")
        orchestrator("models", "rollback", "--vps")
        orchestrator("models", "rollback")
        ask("desktop")
