from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ai_orchestrator import server_file


def test_what_is_announced_is_read_back_and_withdrawn(tmp_path: Path) -> None:
    written = server_file.announce(tmp_path, "http://127.0.0.1:5055/")
    assert server_file.read(tmp_path) == written
    assert (written.url, written.pid) == ("http://127.0.0.1:5055", os.getpid())
    assert stat.S_IMODE((tmp_path / "server.json").stat().st_mode) == 0o600
    server_file.withdraw(tmp_path)
    assert server_file.read(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_another_processs_file_is_not_withdrawn(tmp_path: Path) -> None:
    content = {"url": "http://127.0.0.1:1", "pid": os.getpid() + 1, "started_at": "2026-01-01T00:00:00Z"}
    (tmp_path / "server.json").write_text(json.dumps(content))
    server_file.withdraw(tmp_path)
    assert server_file.read(tmp_path) is not None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"url": "file:///etc/passwd", "pid": 1, "started_at": "x"}', '{"url": 1}']
)
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.json").write_text(text)
    assert server_file.read(tmp_path) is None


@pytest.mark.parametrize(
    ("url", "trusted"),
    [
        ("http://127.0.0.1:5000", True),
        ("http://[::1]:5000", True),
        ("http://localhost:1", True),
        ("http://desk.lan:5000", True),
        ("http://evil.example:5000", False),
        ("http://127.0.0.1.evil.example", False),
    ],
)
def test_a_key_is_only_for_loopback_or_the_configured_host(url: str, trusted: bool) -> None:
    assert server_file.ServerAddress(url, 1, "").trusted("desk.lan") is trusted
