"""`orchestrator backup` and `restore`, and the scripts that call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.command_line import fresh_user, orchestrator, run
from support.data_folders import fill, said

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    fill(tmp_path / "data", "first")
    return fresh_user(tmp_path)


def test_a_backup_lies_beside_the_data_and_its_path_is_all_that_is_printed(
    env: dict[str, str], tmp_path: Path
):
    done = orchestrator(env, "backup")
    archive = Path(done.stdout.removesuffix("\n"))
    assert archive.parent == tmp_path / "data-backups"
    assert archive.is_file()
    assert "credentials" in done.stderr


def test_json_says_what_is_in_it_and_what_was_removed(env: dict[str, str], tmp_path: Path):
    (tmp_path / "data" / "link").symlink_to("nowhere")
    first = json.loads(orchestrator(env, "backup", "--json").stdout)
    second = json.loads(orchestrator(env, "backup", "--json", "--keep", "1").stdout)
    assert second["removed"] == [first["archive"]]
    assert second["notes"] == ["link is a link and was left out."]
    checked = json.loads(orchestrator(env, "restore", second["archive"], "--check", "--json").stdout)
    assert checked == {name: second[name] for name in checked}
    assert checked["files"] > 5 and checked["bytes"] > 1000


def test_settings_go_with_it(env: dict[str, str], tmp_path: Path):
    settings = tmp_path / "elsewhere.yaml"
    settings.write_text("server:\n  port: 5055\n")
    archive = orchestrator(env, "backup", "--config", str(settings)).stdout.strip()
    other = {**env, "HOME": str(tmp_path / "new"), "ORCHESTRATOR_DATA": str(tmp_path / "new" / "data")}
    done = json.loads(orchestrator(other, "restore", archive, "--yes", "--json").stdout)
    assert done["settings"] == str(tmp_path / "new" / ".config" / "orchestrator" / "orchestrator.yaml")
    assert Path(done["settings"]).read_text() == settings.read_text()
    assert done["replaced"] is None
    assert said(tmp_path / "new" / "data") == ["first"]


def test_nothing_is_replaced_unasked(env: dict[str, str], tmp_path: Path):
    archive = orchestrator(env, "backup").stdout.strip()
    fill(tmp_path / "data", "second")
    done = orchestrator(env, "restore", archive)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert said(tmp_path / "data") == ["first", "second"]


def test_what_is_wrong_is_said_in_one_line(env: dict[str, str], tmp_path: Path):
    (tmp_path / "broken.tar.gz").write_text("no archive")
    done = orchestrator(env, "restore", str(tmp_path / "broken.tar.gz"), "--yes")
    assert done.returncode == 1
    assert "no backup of this program" in done.stderr and "Traceback" not in done.stderr
    done = orchestrator(env, "backup", "--to", str(tmp_path / "data" / "backups"))
    assert done.returncode == 1
    assert "part of what is backed up" in done.stderr
    assert orchestrator(env, "backup", "--keep", "0").returncode == 2


def test_the_scripts_do_the_same_from_any_folder(env: dict[str, str], tmp_path: Path):
    backup, restore = (str(ROOT / "deployment" / f"{name}.sh") for name in ("backup", "restore"))
    made = run([backup, "--keep", "2"], env, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    fill(tmp_path / "data", "second")
    done = run([restore, made.stdout.strip(), "--yes", "--discard-replaced"], env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert said(tmp_path / "data") == ["first"]
    assert [path.name for path in tmp_path.glob("data.*")] == []


def test_a_script_without_the_program_says_so(tmp_path: Path):
    (tmp_path / "deployment").mkdir()
    for name in ("backup.sh", "find_orchestrator.sh"):
        (tmp_path / "deployment" / name).write_bytes((ROOT / "deployment" / name).read_bytes())
    done = run(["bash", str(tmp_path / "deployment" / "backup.sh")], {"PATH": "/usr/bin:/bin"})
    assert done.returncode == 1
    assert "not installed here" in done.stderr
