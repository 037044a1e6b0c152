"""Installing, upgrading and rolling back, killed at every step and run again: it ends as if nobody had killed it.

The same on a booted Debian, with everything real: machine/test_interrupted.py.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HARNESS = Path(__file__).with_name("switching.sh")


@dataclass(frozen=True)
class Release:
    """
    Args:
        format: of the data, that it writes.
        well: it answers.
    """

    format: int
    well: bool = True


@dataclass(frozen=True)
class Scenario:
    """A machine with these releases, and a command."""

    name: str
    command: str
    current: Release | None
    new: Release | None = None
    previous: Release | None = None
    succeeds: bool = True


SCENARIOS = [
    Scenario("the first installation", "install", None, Release(1)),
    Scenario(
        "a first installation that does not answer", "install", None, Release(1, well=False), succeeds=False
    ),
    Scenario("an upgrade", "install", Release(1), Release(2), Release(1)),
    Scenario(
        "an upgrade that does not answer", "install", Release(1), Release(1, well=False), succeeds=False
    ),
    Scenario("one that also changed the data", "install", Release(1), Release(2, well=False), succeeds=False),
    Scenario("a rollback", "rollback", Release(1), None, Release(1)),
    Scenario(
        "a rollback that cannot read the data", "rollback", Release(2), None, Release(1), succeeds=False
    ),
]


def make(folder: Path, scenario: Scenario) -> None:
    for name in ("app/releases", "etc", "state/models"):
        (folder / name).mkdir(parents=True)
    for name in ("current", "new", "previous"):
        release: Release | None = getattr(scenario, name)
        if release is None:
            continue
        place = folder / "app/releases" / name
        place.mkdir()
        (place / "format").write_text(str(release.format))
        (place / "well").write_text("yes" if release.well else "no")
        (place / "fingerprint").write_text(name)
        if name != "new":
            (folder / "app" / name).symlink_to(place)
    if scenario.current:
        (folder / "etc/deployment.env").write_text("SETTING=old\n")
        (folder / "state/memory.db").write_text(f"{scenario.current.format}\nsaid long ago\n")
        (folder / "running").touch()


def run(folder: Path, scenario: Scenario, kill_at: int = 0) -> int:
    command = ["bash", HARNESS, ROOT, folder, scenario.command, str(kill_at)]
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode


def outcome(folder: Path) -> dict[str, object]:
    """What the owner sees; times and how often it was tried are left out."""
    app, state = folder / "app", folder / "state"
    data = state / "memory.db"
    env = folder / "etc/deployment.env"
    return {
        "current": (app / "current").resolve().name if (app / "current").is_symlink() else None,
        "previous": (app / "previous").resolve().name if (app / "previous").is_symlink() else None,
        "runs": (folder / "running").exists(),
        "settings": env.read_text() if env.exists() else None,
        "format": data.read_text().splitlines()[0] if data.exists() else None,
        "left": sorted(path.name for path in folder.iterdir() if path.name.startswith("state.before")),
        "journal": sorted(path.name for path in app.iterdir() if path.name in ("switch", "aside")),
        "env": sorted(path.name for path in (folder / "etc").iterdir()),
    }


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_killed_command_run_again_ends_as_if_it_had_not_been_killed(tmp_path: Path, scenario: Scenario):
    whole = tmp_path / "whole"
    make(whole, scenario)
    assert (run(whole, scenario) == 0) == scenario.succeeds
    expected = outcome(whole)
    assert expected["left"] == expected["journal"] == []
    steps = int((whole / "steps").read_text())
    assert steps > 5
    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        make(folder, scenario)
        assert run(folder, scenario, kill_at=step) == -9
        again = run(folder, scenario)
        over = (
            scenario.command == "rollback" and outcome(folder)["current"] == "current" and scenario.succeeds
        )
        if over:  # Killed after its last word: run again, a rollback rolls back.
            assert step == steps
            continue
        assert (again == 0) == scenario.succeeds, f"killed at step {step}"
        assert outcome(folder) == expected, f"killed at step {step}"
        everywhere = "".join(path.read_text() for path in folder.glob("state*/memory.db"))
        assert scenario.current is None or "said long ago" in everywhere
        shutil.rmtree(folder)
