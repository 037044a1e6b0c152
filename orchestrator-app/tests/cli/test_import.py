"""`orchestrator import`, alone and through a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.command_line import fresh_user, orchestrator, serving

SESSION = [
    {"type": "session", "id": "s1"},
    {"type": "message", "id": "a", "timestamp": "2026-01-02T03:04:06Z", "message": {"role": "user", "content": "Is the kestrel back?"}},
    {"type": "message", "id": "b", "timestamp": "2026-01-02T03:04:07Z", "message": {"role": "assistant", "content": "Since Monday."}},
    {"type": "message", "id": "c", "message": {"role": "toolResult", "content": "x"}},
]  # fmt: skip


@pytest.fixture(params=["alone", pytest.param("served", marks=pytest.mark.slow)])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    variables = fresh_user(tmp_path, "say:Fine.")
    with serving(variables) if request.param == "served" else nullcontext():
        yield variables


@pytest.fixture
def session(tmp_path: Path) -> Path:
    path = tmp_path / "sessions" / "s1.jsonl"
    path.parent.mkdir()
    path.write_text("\n".join(json.dumps(item) for item in SESSION))
    return path


def test_a_session_is_there_with_its_date_and_imported_once(env: dict[str, str], session: Path) -> None:
    dry = orchestrator(env, "import", str(session), "--dry-run")
    assert dry.returncode == 0 and "Would import 1 conversations with 2 messages" in dry.stderr
    for _ in range(2):
        done = orchestrator(env, "import", str(session.parent))
        assert done.returncode == 0, done.stderr
        assert "1 of openclaw" in done.stderr
        assert "not taken: 1 messages of the role 'toolResult'" in done.stderr
    listed = json.loads(orchestrator(env, "logs", "--json").stdout)
    (conversation,) = [each for each in listed if each["conversation_id"] == "openclaw:s1"]
    assert conversation["turn_count"] == 1
    assert conversation["updated_at"].startswith("2026-01-02")
    assert "kestrel" in orchestrator(env, "logs", "-q", "kestrel").stdout


def test_what_cannot_be_read_is_told(env: dict[str, str], session: Path, tmp_path: Path) -> None:
    other = tmp_path / "notes.json"
    other.write_text('{"a": 1}')
    done = orchestrator(env, "import", str(other))
    assert (done.returncode, done.stdout) == (1, "")
    assert "No program that is known here wrote notes.json." in done.stderr and "Claude Code" in done.stderr
    both = orchestrator(env, "import", str(other), str(session), "--json")
    report = json.loads(both.stdout)
    assert report["conversations"] == 1 and list(report["refused"]) == [str(other)]
