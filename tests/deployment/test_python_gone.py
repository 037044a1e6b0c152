"""After a system upgrade an environment's Python may be gone: every script that needs it says what to run."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """An installed one whose interpreter was removed."""
    root = tmp_path / "it's here"
    shutil.copytree(ROOT / "deployment", root / "deployment", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "Makefile", root)
    command = root / ".venv/bin/orchestrator"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!{root}/.venv/bin/python\n")
    command.chmod(0o755)
    (root / ".venv/bin/python").symlink_to("/usr/bin/python3.0")
    start = root / "start_orchestrator.sh"
    template = (root / "deployment/templates/start_orchestrator.sh.in").read_text()
    start.write_text(template.replace("@OPTIONS@", "--port 5000"))
    start.chmod(0o755)
    return root


@pytest.mark.parametrize("script", ["start_orchestrator.sh", "deployment/backup.sh", "deployment/restore.sh"])
def test_a_script_names_the_installer(checkout: Path, script: str) -> None:
    done = subprocess.run([checkout / script], capture_output=True, text=True, cwd="/")
    assert done.returncode == 1
    assert "Python was upgraded or removed" in done.stderr
    (command,) = [line.split("Run: ")[1] for line in done.stderr.splitlines() if "Run: " in line]
    assert shlex.split(command) == [str(checkout / "deployment/deploy_local.sh")]
    assert (checkout / "deployment/deploy_local.sh").is_file()


@pytest.mark.parametrize("target", ["pytest", "lint", "format", "bench", "lock"])
def test_a_developers_target_names_the_setup(checkout: Path, target: str) -> None:
    done = subprocess.run(["make", "-C", str(checkout), target], capture_output=True, text=True)
    assert done.returncode != 0
    assert "setup-dev" in done.stderr
