"""A backup of a VPS, made while it runs: who may dial in is in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from orchestrator_core.backup.making import back_up
from orchestrator_core.backup.restoring import restore
from orchestrator_core.backup.snapshot import DataPlace
from support.vps import DialRefused, Vps, dial


@pytest.mark.slow
def test_an_enrolled_desktop_is_let_in_after_a_restore(tmp_path: Path):
    data = tmp_path / "vps"
    with Vps(data) as vps:
        answer = vps.enroll()
        assert answer.status_code < 300, answer.text
        credential = answer.json()["credential"]
        made = back_up(DataPlace(data, data / "context"), tmp_path / "backups")
        assert {"data/relay.db", "data/memory.db"} <= {entry.path for entry in made.manifest.files}
        assert vps.end() == 0
    other = tmp_path / "another machine"
    restore(made.path, DataPlace(other, other / "context"))
    with Vps(other) as vps:
        dialled = dial(vps.port, credential)
        dialled.close()
        dialled.release()
        with pytest.raises(DialRefused):
            dial(vps.port, credential + "x")
        assert vps.end() == 0
