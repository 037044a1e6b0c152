"""What a VPS installs is what was locked, also where pip builds it from source."""

from pathlib import Path

import pytest
from support.setup_modules import setup_part

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "deployment/vps/requirements.txt"


@pytest.fixture
def commands(tmp_path, monkeypatch):
    environment = setup_part("environment")
    given = []
    monkeypatch.setattr(
        environment, "run", lambda command, **more: given.append([str(part) for part in command])
    )
    environment.install(tmp_path, ROOT, "vps", ["vps", "gguf"], editable=False, lock=LOCK)
    return given


def test_every_fetched_file_is_checked_by_its_hash(commands):
    *locked, project = commands
    assert [command[-1] for command in locked] == [str(LOCK), str(LOCK.with_name("source-requirements.txt"))]
    assert all("--require-hashes" in command and "--no-deps" in command for command in locked)
    assert project[-1] == str(ROOT) and "--no-deps" in project


def test_building_from_source_fetches_no_further_tools(commands):
    for command in commands:
        assert "--only-binary" in command or "--no-build-isolation" in command
