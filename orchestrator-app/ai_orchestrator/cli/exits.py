"""What the exit code says to a script, and how an error is told to a person."""

from __future__ import annotations

from collections.abc import Mapping

import click

from ai_orchestrator.cli.advice import complete

OK = 0
FAILED = 1
USAGE = 2
UNUSABLE = 3
UNREACHABLE = 4
INTERRUPTED = 130

EXIT_CODES_HELP = (
    "Exit codes: 0 fine; 1 failed; 2 wrong usage; 3 configuration or model unusable; "
    "4 server or engine unreachable or busy (trying again may help); 130 interrupted. "
    "With --json, standard output is JSON only; errors go to standard error."
)


def exit_code(error: Exception) -> int | None:
    """The code for an error, or None for a defect of ours, whose traceback should be seen."""
    if isinstance(error, click.ClickException):
        return error.exit_code
    from orchestrator_core import errors

    if isinstance(error, errors.ContextLengthExceeded):
        return FAILED
    if isinstance(error, errors.InvalidRequest):
        return USAGE
    if isinstance(error, errors.ConfigurationError | errors.ModelNotFound | errors.ModelUnusable):
        return UNUSABLE
    if isinstance(error, errors.Unsupported):
        return FAILED
    if isinstance(error, errors.BackendError | errors.Overloaded):
        return UNREACHABLE
    if isinstance(error, errors.OrchestratorError | OSError):
        return FAILED
    from shared_context.errors import SharedContextError

    return FAILED if isinstance(error, SharedContextError) else None


def report(error: Exception, given: Mapping[str, str] | None = None) -> None:
    """One line for the error, one for what to do next, both on stderr.

    Args:
        given: see `advice.complete`.
    """
    if isinstance(error, click.ClickException):
        error.show()
        return
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {message}", err=True)
    hint = getattr(error, "hint", None)
    if hint:
        click.echo(f"{click.style('Hint:', bold=True)} {complete(hint, given)}", err=True)
