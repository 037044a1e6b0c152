from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import click
import pytest
from ai_orchestrator.cli import COMMANDS, orchestrator, run
from ai_orchestrator.cli.exits import (
    EXIT_CODES_HELP,
    FAILED,
    INTERRUPTED,
    UNREACHABLE,
    UNUSABLE,
    USAGE,
    exit_code,
)
from ai_orchestrator.cli.options import TIERS
from click.testing import CliRunner
from orchestrator_core import errors
from orchestrator_core.tiers.router import RequestedTier
from shared_context.errors import StoreFull

HEAVY = ("pydantic", "rich", "prompt_toolkit", "flask", "requests", "orchestrator_core.settings", "sqlite3")


def test_help_lists_every_command_without_importing_any() -> None:
    code = (
        "import sys; sys.argv = ['orchestrator', '--help']\n"
        "from ai_orchestrator.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    *help_text, imported = out.strip().splitlines()
    assert imported == "[]"
    listed = "\n".join(help_text)
    assert all(name in listed and text in listed for name, (_, text) in COMMANDS.items())
    assert "Exit codes" in listed


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_is_the_commands_own(name: str) -> None:
    command = orchestrator.get_command(click.Context(orchestrator), name)
    assert command is not None
    assert command.get_short_help_str(100) == COMMANDS[name][1]
    assert CliRunner().invoke(orchestrator, [name, "--help"]).exit_code == 0


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(orchestrator, ["nonsense"]) == USAGE
    assert run(orchestrator, ["serve", "--port", "99999"]) == USAGE
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigurationError("x"), UNUSABLE),
        (errors.MissingExtra("p", "gguf", "The engine"), UNUSABLE),
        (errors.ModelNotFound("x"), UNUSABLE),
        (errors.ModelUnusable("x"), UNUSABLE),
        (errors.BackendUnreachable("x"), UNREACHABLE),
        (errors.BackendLoading("x"), UNREACHABLE),
        (errors.EngineLost("x"), UNREACHABLE),
        (errors.Overloaded("x"), UNREACHABLE),
        (errors.InvalidRequest("x"), USAGE),
        (errors.ContextLengthExceeded("x"), FAILED),
        (errors.NotFound("x"), FAILED),
        (errors.Unsupported("x"), FAILED),
        (StoreFull("x"), FAILED),
        (PermissionError("x"), FAILED),
        (ZeroDivisionError(), None),
    ],
)
def test_every_kind_of_error_has_its_exit_code(error: Exception, code: int | None) -> None:
    assert exit_code(error) == code


def test_every_exit_code_is_documented() -> None:
    for code in (0, FAILED, USAGE, UNUSABLE, UNREACHABLE, INTERRUPTED):
        assert f"{code} " in EXIT_CODES_HELP


def test_an_error_names_its_hint_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def broken() -> None:
        raise errors.ModelNotFound("There is no model at 'x'.", hint="Name another one.")

    assert run(broken, []) == UNUSABLE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "Error: There is no model at 'x'.\nHint: Name another one.\n"


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    @click.command()
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(broken, [])


def test_an_interrupt_exits_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def interrupted() -> None:
        raise KeyboardInterrupt

    assert run(interrupted, []) == INTERRUPTED


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    code = (
        "import click, sys\n"
        "from ai_orchestrator.cli import run\n"
        "@click.command()\n"
        "def talk():\n"
        "    for _ in range(100000): click.echo('x' * 100)\n"
        "sys.exit(run(talk, []))\n"
    )
    talker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert talker.stdout is not None
    assert talker.stderr is not None
    talker.stdout.read(10)
    talker.stdout.close()
    assert talker.wait(timeout=60) == 0
    assert talker.stderr.read() == b""
    talker.stderr.close()


def test_the_tiers_that_can_be_named_are_those_a_request_can_name() -> None:
    assert get_args(RequestedTier) == TIERS
