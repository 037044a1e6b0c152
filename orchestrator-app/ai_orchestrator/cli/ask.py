"""`orchestrator ask`: one question, one answer, for people and scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click
from orchestrator_core.command_options import json_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.exits import INTERRUPTED
from ai_orchestrator.cli.options import conversation_options, model_options, tier_option

OPTION_NAMES = (
    "max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "stop", "seed",
)  # fmt: skip


@click.command(short_help="Ask one question, print the answer.")
@click.argument("prompt", nargs=-1)
@model_options
@conversation_options
@tier_option
@click.option("-s", "--system", help="System text for this answer.")
@click.option(
    "-o", "--option", "given", nargs=2, multiple=True, metavar="KEY VALUE",
    help=f"Sampling option: {', '.join(OPTION_NAMES)}.",
)  # fmt: skip
@click.option("--no-stream", is_flag=True, help="Print the answer when it is complete.")
@click.option("-n", "--no-log", is_flag=True, help="Answer without the memory: nothing read, nothing stored.")
@json_option
@settings_options
@click.pass_context
def ask(
    ctx: click.Context,
    prompt: tuple[str, ...],
    model: str | None,
    resume: bool,
    conversation_id: str | None,
    tier: str | None,
    system: str | None,
    given: tuple[tuple[str, str], ...],
    no_stream: bool,
    no_log: bool,
    as_json: bool,
    config: str | None,
    data: str | None,
) -> None:
    """Ask one question and print the answer.

    The prompt is the argument, standard input, or both (standard input first). The answer
    goes to standard output, everything else to standard error. Without -c or --cid a new
    conversation is begun. When `orchestrator serve` runs on the same data folder, it answers.

    \b
    orchestrator ask "What is a handoff document?"
    orchestrator ask -c "And who writes it?"
    git diff | orchestrator ask -s "You review code." "Anything risky?" -o temperature 0
    """
    from ai_orchestrator.cli.options import make_settings

    message = _message(prompt)
    settings = make_settings(config, data, model__path=model, context__system_prompt=system)
    sampling = _options(given)

    from ai_orchestrator.cli.answering import follow, make_request
    from ai_orchestrator.cli.link import open_link
    from ai_orchestrator.cli.options import choose_conversation
    from ai_orchestrator.cli.screen import Screen

    screen = Screen(stream=not (no_stream or as_json))
    with open_link(settings, model_named=model is not None, forget=no_log, tier=tier) as link:
        chosen = choose_conversation(link, resume, conversation_id)
        request = make_request(settings, link, message, chosen, system=system, sampling=sampling, tier=tier)
        done, interrupted = follow(link.ask(request), screen.show)
        if as_json:
            terminal.write_json(dict(done))
        else:
            screen.end(done)
    if interrupted:
        ctx.exit(INTERRUPTED)


def _message(prompt: tuple[str, ...]) -> str:
    piped = terminal.piped_input()
    parts = [part for part in ((piped or "").strip("\n"), " ".join(prompt)) if part.strip()]
    if not parts:
        raise click.UsageError(
            "There is no prompt. Give it as an argument or pipe it in; `orchestrator chat` converses."
        )
    return "\n\n".join(parts)


def _options(given: tuple[tuple[str, str], ...]) -> Mapping[str, Any]:
    """`-o stop END -o seed 7`; a value is JSON where it can be, else text. Repeated stops add up."""
    options: dict[str, Any] = {}
    for key, text in given:
        if key not in OPTION_NAMES:
            raise click.BadParameter(f"unknown option {key!r}; known are {', '.join(OPTION_NAMES)}.")
        if key == "stop":
            options.setdefault("stop", []).extend(_stops(text))
            continue
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    return options


def _stops(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except ValueError:
        return [text]
    return value if isinstance(value, list) else [text]
