"""The commands of docs/backup.md, run as they stand by a user with something to lose."""

from __future__ import annotations

import re
from pathlib import Path

from support.command_line import fresh_user, run
from support.data_folders import fill, said

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "backup.md"


def test_the_guide_runs_from_backup_to_restored_data(tmp_path: Path):
    env = fresh_user(tmp_path)
    del env["ORCHESTRATOR_DATA"]
    data = tmp_path / ".local" / "share" / "orchestrator"
    fill(data, "first")
    backing_up, restoring = re.findall(r"^```sh\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)

    def follow(commands: str) -> None:
        done = run(["bash", "-euc", commands], env, cwd=ROOT)
        assert done.returncode == 0, done.stderr

    follow(backing_up)
    assert len(list(data.with_name("orchestrator-backups").glob("*.tar.gz"))) == 1
    assert len(list((tmp_path / "usb" / "orchestrator").glob("*.tar.gz"))) == 1
    fill(data, "second")
    follow(restoring)
    assert said(data) == ["first"]
    (former,) = data.parent.glob("orchestrator.before-restore-*")
    assert said(former) == ["first", "second"]
