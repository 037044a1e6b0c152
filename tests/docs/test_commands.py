"""The commands in the documents are run as they stand, against a real server with the built-in model."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ai_orchestrator.server import Server
from orchestrator_core.settings import Settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
WRITTEN_PORT = re.compile(r"(?<=localhost:)5000|(?<=127\.0\.0\.1:)5000")


def fenced(name: str, language: str) -> list[str]:
    """The code blocks of a document in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL)


def commands(name: str) -> list[str]:
    """Its curl commands, continuation lines joined."""
    joined = "\n".join(fenced(name, "sh")).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.startswith("curl ")]


CURLS = [(name, command) for name in ("README.md", "docs/api.md") for command in commands(name)]


@pytest.fixture(scope="module")
def port(tmp_path_factory) -> Iterator[int]:
    settings = Settings(data=tmp_path_factory.mktemp("data"))
    settings.server.port = 0
    with Server(settings) as server:
        server.services.model.ensure(60)
        yield server.port


def test_there_are_commands_to_run():
    assert len(CURLS) > 15
    assert shutil.which("curl")


@pytest.mark.parametrize(("document", "command"), CURLS, ids=[command[:90] for _, command in CURLS])
def test_a_curl_line_works_as_written(document, command, port):
    line = WRITTEN_PORT.sub(str(port), command) + " --fail-with-body --silent --show-error --max-time 120"
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=150)
    assert result.returncode == 0, f"{document}: {result.stdout} {result.stderr}"
    assert result.stdout.strip()


def test_the_python_example_runs_as_written(tmp_path):
    (example,) = fenced("README.md", "python")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    result = subprocess.run(
        [str(ROOT / ".venv/bin/python"), "-c", example],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=150,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert (tmp_path / "conversation.json").is_file()


def test_links_between_documents_lead_somewhere():
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_make_targets_named_in_the_documents_exist():
    makefile = (ROOT / "Makefile").read_text()
    for document in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\bmake ([a-z][a-z-]+)", (ROOT / document).read_text()):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{document}: make {target}"
