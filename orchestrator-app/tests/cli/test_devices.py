"""`orchestrator devices` and `orchestrator keys`, with a running server and without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ai_orchestrator.cli import orchestrator, run
from ai_orchestrator.server import Server
from orchestrator_http.access.household import Household
from shared_context.conversations.store import ConversationStore
from support.desktop import settings_for

ID = "phone1"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORCHESTRATOR_DATA", str(tmp_path))
    with ConversationStore.open(tmp_path / "memory.db") as store:
        Household(tmp_path, store, "desktop").devices.add(ID, name="Pixel", kind="phone", public="P" * 86)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert run(orchestrator, [*words]) == 0
    return capsys.readouterr().out


def devices(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(said(capsys, "devices", "list", "--json"))
    return listed


def test_devices_are_managed_without_a_server(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Pixel (phone; ask memory; not seen yet)" in said(capsys, "devices", "list")
    said(capsys, "devices", "rename", ID, "Mine")
    said(capsys, "devices", "revoke", ID)
    (device,) = devices(capsys)
    assert device["name"] == "Mine" and device["revoked_at"]
    assert "revoked" in said(capsys, "devices", "list")


def test_devices_are_managed_by_the_running_server(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Server(settings_for(data)) as server:
        said(capsys, "devices", "rename", ID, "Mine")
        assert server.services.household.devices.get(ID).name == "Mine"
        said(capsys, "devices", "revoke", ID)
        assert server.services.household.devices.get(ID).revoked_at
        (device,) = devices(capsys)
        assert device["name"] == "Mine" and device["revoked_at"]


def test_a_device_that_is_none_is_an_error_with_a_hint(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(orchestrator, ["devices", "revoke", "nobody"]) != 0
    assert "nobody" in capsys.readouterr().err


def test_a_key_is_printed_once_and_never_again(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = said(capsys, "keys", "add", "script", "--scope", "memory").strip()
    assert len(secret) > 40 and " " not in secret
    listed = said(capsys, "keys", "list") + said(capsys, "keys", "list", "--json")
    assert "script" in listed and secret not in listed
    said(capsys, "keys", "revoke", "script")
    (key,) = json.loads(said(capsys, "keys", "list", "--json"))
    assert key["revoked_at"] and key["scopes"] == ["memory"]
    assert [event["what"] for event in json.loads(said(capsys, "keys", "log", "--json"))] == [
        "key_revoked",
        "key_added",
    ]


def test_the_key_of_the_settings_is_one_of_them(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_API_KEY", "something secret")
    listed = said(capsys, "keys", "list")
    assert "server.api_key (ask memory admin" in listed and "something secret" not in listed
