"""`orchestrator phone`, as it is typed, against a real desktop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from ai_orchestrator.cli import orchestrator
from ai_orchestrator.server import Server
from click.testing import CliRunner, Result
from mobile_sync.outbox import EntryKind, EntryState, Outbox
from support.desktop import listening
from support.paired_phone import paired


@pytest.fixture(scope="module")
def desktop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with listening(tmp_path_factory.mktemp("desktop")) as running:
        yield running


@pytest.fixture
def data(desktop: Server, tmp_path: Path) -> Path:
    paired(desktop.services, tmp_path, urls=(desktop.url,))
    return tmp_path


def phone(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(orchestrator, ["phone", *arguments, "--data", str(data)])


def test_one_question_says_who_answered_and_why(data: Path) -> None:
    result = phone(data, "chat", "one two three")
    assert result.exit_code == 0, result.output
    assert "one two three" in result.stdout
    assert "desktop, in this network" in result.stderr and "desktop ·" in result.stderr


def test_for_programs_the_answer_is_json(data: Path) -> None:
    done = json.loads(phone(data, "chat", "--json", "Hello").stdout)
    assert (done["tier"], done["road"]["way"]) == ("desktop", "lan")


def test_the_status_shows_what_answers_now(data: Path, desktop: Server) -> None:
    shown = json.loads(phone(data, "status", "--json").stdout)
    assert shown["roads"] == [{"url": desktop.url, "way": "lan"}]
    assert "0 waiting" in phone(data, "sync").stdout


def test_the_outbox_is_listed_retried_and_deleted(data: Path) -> None:
    with Outbox(data / "outbox.db") as outbox:
        entry_id = outbox.add(EntryKind.MESSAGE, "default", {"message": "x"}).entry_id
        outbox.mark(entry_id, EntryState.REFUSED, problem="too long")
    listed = phone(data, "outbox").stdout
    assert "refused" in listed and "too long" in listed and "\tx\t" in listed
    assert "queued" in phone(data, "outbox", "--retry", entry_id).stdout
    assert json.loads(phone(data, "outbox", "--delete", entry_id, "--json").stdout) == []


def test_without_pairing_it_says_what_to_do(tmp_path: Path) -> None:
    result = phone(tmp_path, "status")
    assert result.exit_code != 0 and "not paired" in str(result.exception)
