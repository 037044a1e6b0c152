from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from shared_context.documents.document_names import DOCUMENT_NAMES
from shared_context.documents.starters import starter_text

ROOT = Path(__file__).parents[3]


def test_a_checkout_reads_the_visible_files() -> None:
    for name in DOCUMENT_NAMES:
        assert starter_text(name) == (ROOT / "shared-context" / name).read_text("utf-8")


@pytest.mark.slow
def test_an_installed_package_has_the_starters(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    copy = tmp_path / "source"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for file in files.stdout.split("\0"):
        if file.startswith(
            ("shared-context/", "setup.py", "pyproject.toml", "README", "LICENSE", "MANIFEST")
        ):
            target = copy / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / file).read_bytes())
    for name in ("orchestrator-core/orchestrator_core", "orchestrator-app/ai_orchestrator"):
        (copy / name).mkdir(parents=True)
    subprocess.run([*build, "-w", str(tmp_path), str(copy)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    program = "from shared_context.documents.starters import starter_text as t; import sys; sys.stdout.write(t(sys.argv[1]))"
    for name in DOCUMENT_NAMES:
        shown = subprocess.run(
            [sys.executable, "-S", "-c", program, name],
            env={"PYTHONPATH": str(tmp_path / "installed")},
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout == starter_text(name)
