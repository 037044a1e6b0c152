"""The `orchestrator` command.

Only click is imported before a subcommand is chosen: `orchestrator --help` must be quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from ai_orchestrator.cli.advice import complete
from ai_orchestrator.cli.exits import EXIT_CODES_HELP, INTERRUPTED, USAGE, exit_code, report
from ai_orchestrator.cli.lazy import LazyGroup

COMMANDS = {
    "serve": ("ai_orchestrator.cli.serve:serve", "Start the desktop server."),
    "chat": ("ai_orchestrator.cli.chat:chat", "Talk in the terminal."),
    "ask": ("ai_orchestrator.cli.ask:ask", "Ask one question, print the answer."),
    "logs": ("ai_orchestrator.cli.logs:logs", "List, show and search conversations."),
    "search": ("ai_orchestrator.cli.search:search", "Search everything said and written."),
    "context": ("ai_orchestrator.cli.context:context", "Read and edit the handoff documents."),
    "mcp": ("ai_orchestrator.cli.mcp:mcp", "Offer the memory to other agents (MCP)."),
    "handoff": ("ai_orchestrator.cli.handoff:handoff", "End a session: log entry and handoff documents."),
    "memory": ("ai_orchestrator.cli.memory:memory", "To-dos, decisions, facts: list, edit, forget."),
    "import": ("ai_orchestrator.cli.importing:import_", "Bring conversations from other programs."),
    "models": ("ai_orchestrator.cli.models:models", "Models: list, pull, activate, go back."),
    "devices": ("ai_orchestrator.cli.devices:devices", "Paired devices: list, rename, revoke."),
    "keys": ("ai_orchestrator.cli.keys:keys", "API keys for scripts: add, list, revoke."),
    "train": ("ai_orchestrator.cli.jobs:train", "Fine-tune a model on a dataset, as a job."),
    "eval": ("ai_orchestrator.cli.jobs:evaluate", "Evaluate a model on a dataset, as a job."),
    "jobs": ("ai_orchestrator.cli.jobs:jobs", "Trainings and evaluations: list, watch, cancel."),
    "phone": ("mobile_sync.cli:phone", "Use this machine as a phone of the household."),
    "pair": ("ai_orchestrator.cli.pair:pair", "Let a phone or another device in."),
    "vps": ("ai_orchestrator.cli.vps:vps", "The VPS: enrol with one, or be one."),
    "backup": ("ai_orchestrator.cli.backup:backup", "Write a backup, also while the server runs."),
    "restore": ("ai_orchestrator.cli.backup:restore", "Put a backup back."),
    "install": ("ai_orchestrator.cli.install:install", "Add an optional part (hf, vps, train, ...)."),
    "doctor": ("ai_orchestrator.cli.doctor:doctor", "Check this installation and say what to do."),
}
"""Name, where it lives, one line of help (the same line as the command's own)."""


@click.group(
    cls=LazyGroup,
    commands_at=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EXIT_CODES_HELP,
)
@click.version_option(package_name="orchestrator", prog_name="orchestrator")
def orchestrator() -> None:
    """One assistant, one memory, three machines.

    \b
    orchestrator serve                     the server and its chat page
    orchestrator chat                      a conversation in the terminal
    orchestrator ask "Where were we?"      one answer, for scripts
    git diff | orchestrator ask "Review"   a prompt from standard input
    """


def run(command: click.Command, args: Sequence[str] | None = None, *, prog_name: str | None = None) -> int:
    """Run a click command; returns the exit code (see `exits`). Errors go to stderr."""
    stdout = sys.stdout
    given: dict[str, str] = {}
    try:
        result = command.main(args=args, prog_name=prog_name, standalone_mode=False, obj=given)
        sys.stdout.flush()
    except click.UsageError as error:
        if type(error) is click.UsageError:
            error = click.UsageError(complete(error.message, given), error.ctx)
        error.show()
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except SystemExit:
        # When the reader of our output has gone (`orchestrator logs | head`), click exits by
        # itself, with a standard output of its own that swallows the rest.
        if sys.stdout is not stdout:
            return 0
        raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        report(error, given)
        return code
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the console command."""
    sys.exit(run(orchestrator, prog_name="orchestrator"))
