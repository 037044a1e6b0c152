"""`orchestrator chat`: a conversation in the terminal."""

from __future__ import annotations

import click
from orchestrator_core.command_options import settings_options

from ai_orchestrator.cli.options import conversation_options, model_options, tier_option


@click.command(short_help="Talk in the terminal.")
@model_options
@conversation_options
@tier_option
@click.option("-s", "--system", help="System text for this session.")
@click.option("--no-stream", is_flag=True, help="Show each answer when it is complete.")
@click.option("-n", "--no-log", is_flag=True, help="Talk without the memory: nothing read, nothing stored.")
@settings_options
@click.pass_context
def chat(
    ctx: click.Context,
    model: str | None,
    resume: bool,
    conversation_id: str | None,
    tier: str | None,
    system: str | None,
    no_stream: bool,
    no_log: bool,
    config: str | None,
    data: str | None,
) -> None:
    """Talk in the terminal.

    /help lists the commands. Ctrl-C stops a running answer and keeps the session. Without a
    terminal each line of standard input is a message. When `orchestrator serve` runs on the
    same data folder, it answers.
    """
    from ai_orchestrator.cli.options import make_settings

    settings = make_settings(config, data, model__path=model, context__system_prompt=system)

    from ai_orchestrator.cli.link import open_link
    from ai_orchestrator.cli.options import choose_conversation
    from ai_orchestrator.repl import Repl

    with open_link(settings, model_named=model is not None, forget=no_log, tier=tier) as link:
        chosen = choose_conversation(link, resume, conversation_id)
        history = None if no_log else settings.data / "repl_history"
        repl = Repl(link, settings, chosen, system=system, tier=tier, stream=not no_stream, history=history)
        ctx.exit(repl.run())
