"""`vps.json`: whole or not there, for its owner only, and never in a repr."""

import json
import logging
from pathlib import Path

import pytest
from ai_orchestrator.vps_link import credentials
from ai_orchestrator.vps_link.credentials import VpsCredential
from orchestrator_core.errors import ConfigurationError

SECRET = "a-secret-that-must-not-show"
OWN = VpsCredential("https://vps.example", "desktop-1", SECRET, certificate="PEM", enrolled_at="2026-01-01")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert credentials.read(tmp_path / "nowhere") is None
    assert credentials.stamp(tmp_path) is None
    credentials.write(tmp_path / "new", OWN)
    assert credentials.read(tmp_path / "new") == OWN
    credentials.delete(tmp_path / "new")
    credentials.delete(tmp_path / "new")
    assert credentials.read(tmp_path / "new") is None


def test_only_its_owner_may_read_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    credentials.write(tmp_path, OWN)
    file = credentials.path(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        assert credentials.read(tmp_path) == OWN
    assert file.stat().st_mode & 0o777 == 0o600
    assert "0600 again" in caplog.text and SECRET not in caplog.text


def test_the_secret_is_in_no_repr() -> None:
    assert SECRET not in repr(OWN)


def test_another_file_has_another_stamp(tmp_path: Path) -> None:
    credentials.write(tmp_path, OWN)
    first = credentials.stamp(tmp_path)
    credentials.write(tmp_path, OWN)
    assert credentials.stamp(tmp_path) != first
    assert [one.name for one in tmp_path.iterdir()] == [credentials.NAME]


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", '"text"', "{}", "\udcff",
        json.dumps({"url": "https://x", "desktop_id": "d"}),
        json.dumps({"url": "", "desktop_id": "d", "credential": SECRET}),
        json.dumps({"url": "https://x", "desktop_id": 3, "credential": SECRET}),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_said_without_its_content(tmp_path: Path, content: str) -> None:
    credentials.path(tmp_path).write_text(content, errors="surrogateescape")
    with pytest.raises(ConfigurationError, match="cannot be used") as caught:
        credentials.read(tmp_path)
    assert SECRET not in str(caught.value)
    assert "enroll" in (caught.value.hint or "")


def test_a_field_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    credentials.write(tmp_path, OWN)
    file = credentials.path(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "later": 1}))
    assert credentials.read(tmp_path) == OWN
