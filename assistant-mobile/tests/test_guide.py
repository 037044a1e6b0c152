"""MOBILE_INTEGRATION.md is run as it stands, by a paired phone against a real desktop."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mobile_sync import router
from support.desktop import listening
from support.paired_phone import paired

GUIDE = Path(__file__).parents[1] / "MOBILE_INTEGRATION.md"
TEXT = GUIDE.read_text("utf-8")

pytestmark = pytest.mark.slow


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Of a machine whose phone folder is paired with a running desktop."""
    home = tmp_path_factory.mktemp("home")
    with listening(tmp_path_factory.mktemp("desktop")) as desktop:
        paired(desktop.services, home / "data" / "phone", urls=(desktop.url,))
        yield {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "ORCHESTRATOR_DATA": str(home / "data"),
            "PHONE_DATA": str(home / "data" / "phone"),
        }


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("line", "".join(fenced("sh")).splitlines())
def test_a_command_works_as_written(line: str, environment: dict[str, str]) -> None:
    program, *arguments = shlex.split(line)
    assert program == "orchestrator"
    run([sys.executable, "-m", "ai_orchestrator.cli", *arguments], environment)


def test_the_program_works_as_written(environment: dict[str, str]) -> None:
    (program,) = fenced("python")
    shown = run([sys.executable, "-c", program], environment)
    assert "desktop, " in shown and "0 waiting" in shown
    assert "['user', 'assistant']" in shown


def test_the_numbers_are_the_routers() -> None:
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([\d.]+) s \|$", TEXT, re.MULTILINE))
    assert [float(value) for value in rows.values()] == [
        router.HEAD_START_S,
        router.PROBE_S,
        router.QUIET_S,
        router.HEARTBEAT_S,
        router.RETRY_S,
    ]


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", TEXT):
        assert (GUIDE.parent / target).exists(), target
