"""`python main.py`: the chatbot with the flags of its first version.

The same links, REPL and memory as `orchestrator chat`; only the flags differ.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from orchestrator_core.command_options import log_level_option, settings_options

from ai_orchestrator.cli import terminal
from ai_orchestrator.cli.exits import EXIT_CODES_HELP, INTERRUPTED

if TYPE_CHECKING:
    from orchestrator_core.settings import Settings

MAX_TOKENS = 512
"""This chatbot's own limit; elsewhere an answer may have what the window leaves."""
SEED_MODEL = "mistralai/Mistral-7B-Instruct-v0.2"


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, epilog=EXIT_CODES_HELP
)
@click.option(
    "--model", "model__path", metavar="MODEL",
    help=f"Hugging Face id, or path of a folder or GGUF file. {SEED_MODEL} is the 7B this chatbot was made "
    "for. [default: builtin, the small model shipped here; env: LLM_MODEL_PATH]",
)  # fmt: skip
@click.option("--local-path", metavar="PATH", help="Load from this folder or GGUF file instead of the Hub.")
@click.option(
    "--device",
    "model__device",
    type=click.Choice(["auto", "cuda", "mps", "cpu"]),
    help="[default: auto; env: LLM_DEVICE]",
)
@click.option(
    "--quant", type=click.Choice(["4", "8"]),
    help="4- or 8-bit, for Hugging Face models. [default: off; env: LLM_QUANT_ENABLED=1, LLM_QUANT_BITS]",
)  # fmt: skip
@click.option(
    "--max-tokens",
    "generation__max_new_tokens",
    type=int,
    help="Longest answer, in tokens. [default: 512; env: LLM_MAX_NEW_TOKENS]",
)
@click.option(
    "--temperature",
    "generation__temperature",
    type=float,
    help="Randomness. [default: 0.7; env: LLM_TEMPERATURE]",
)
@click.option("--top-p", "generation__top_p", type=float, help="Nucleus sampling cutoff. [default: 0.9]")
@click.option("--top-k", "generation__top_k", type=int, help="Only the k likeliest tokens. [default: 50]")
@click.option(
    "--greedy",
    "generation__greedy",
    is_flag=True,
    default=None,
    help="Always the likeliest token; ignores the three above.",
)
@click.option("--system", "context__system_prompt", metavar="TEXT", help="System prompt.")
@click.option("--session-id", metavar="ID", help="Resume a named session. [default: a new one]")
@click.option("--no-stream", is_flag=True, help="Show each answer when it is complete.")
@click.option("--prompt", metavar="TEXT", help="One question, one answer, exit.")
@log_level_option("How much goes into orchestrator.log. [default: INFO; env: LLM_LOG_LEVEL]")
@settings_options
@click.pass_context
def chatbot(
    ctx: click.Context,
    /,
    local_path: str | None,
    quant: str | None,
    session_id: str | None,
    no_stream: bool,
    prompt: str | None,
    log_level: str | None,
    config: str | None,
    data: str | None,
    **overrides: Any,
) -> None:
    """Chat with a local model. /help in the chat lists its commands.

    Flags win over environment variables, those over the configuration file. A prompt piped
    into standard input is answered once, like --prompt.

    \b
    python main.py
    python main.py --prompt "Explain transformers in simple terms."
    python main.py --model mistralai/Mistral-7B-Instruct-v0.2 --quant 4
    python main.py --system "You are a Shakespearean poet." --temperature 1
    """
    from ai_orchestrator.cli.options import make_settings

    if local_path:
        overrides["model__path"] = local_path
    if quant is not None:
        overrides |= {"quantization__enabled": True, "quantization__load_in_bits": int(quant)}
    settings = make_settings(config, data, log__level=log_level, **overrides)
    if settings.generation.max_new_tokens is None:
        settings.generation.max_new_tokens = MAX_TOKENS
    question = prompt if prompt is not None else _piped()

    from shared_context.storage.identity import new_id

    from ai_orchestrator.cli.link import open_link

    model_named = any((quant, overrides["model__path"], overrides["model__device"]))
    with open_link(settings, model_named=model_named) as link:
        with terminal.patience("Loading the model…"):
            answering = link.model()
        terminal.note(which_model(settings, answering, link.where if link.remote else None))
        if question is not None:
            from ai_orchestrator.cli.answering import follow, make_request
            from ai_orchestrator.cli.screen import Screen

            screen = Screen(stream=not no_stream)
            request = make_request(
                settings, link, question, session_id or new_id(), system=overrides["context__system_prompt"]
            )
            done, interrupted = follow(link.ask(request), screen.show)
            screen.end(done)
            ctx.exit(INTERRUPTED if interrupted else 0)
        from ai_orchestrator.repl import Repl

        history = settings.data / "repl_history"
        repl = Repl(
            link, settings, session_id, system=overrides["context__system_prompt"], stream=not no_stream, history=history, greet=False,
            resume=f"{shlex.join([sys.executable, str(Path(sys.argv[0]).absolute())])} --session-id {{}}".format,
        )  # fmt: skip
        ctx.exit(repl.run())


def which_model(settings: Settings, model: str, server: str | None) -> str:
    """The line that says who answers, and how to get the 7B this chatbot was made for."""
    from orchestrator_core.settings import BUILTIN_MODEL

    if server is not None:
        return f"Model: {model}, through the server at {server}."
    if settings.model.path != BUILTIN_MODEL or settings.model.url:
        return f"Model: {model}."
    return (
        f"Model: {model}, the small built-in one. For Mistral 7B: --local-path FILE.gguf, "
        f"or --model {SEED_MODEL} --quant 4 (GPU with 6 GB)."
    )


def _piped() -> str | None:
    if terminal.has_terminal(sys.stdin):
        return None
    piped = terminal.piped_input()
    if piped is None or not piped.strip():
        raise click.UsageError("There is no terminal and no prompt: give --prompt, or pipe the prompt in.")
    return piped.strip("\n")


def main() -> None:
    """Entry point of `orchestrator-app/main.py`."""
    from ai_orchestrator.cli import run

    sys.exit(run(chatbot, prog_name="main.py"))
