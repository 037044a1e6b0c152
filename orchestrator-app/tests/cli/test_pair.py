"""`orchestrator pair`, as a process beside a server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ai_orchestrator.pairing.qr import terminal_lines
from mobile_sync.pairing import pair
from orchestrator_relay.identity.pairing import PairingLink
from support.desktop import listening
from support.pairing import KEY, has_lan, waiting

pytestmark = pytest.mark.skipif(not has_lan(), reason="this machine has no address that others could reach")


CODE = r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}"


def command(data: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ai_orchestrator.cli", "pair", "--data", str(data), *arguments],
        env={**os.environ, "ORCHESTRATOR_API_KEY": KEY, "ORCHESTRATOR_HOST": "*"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def announced(data: Path, url: str) -> None:
    """As a server does that owns its data folder."""
    from ai_orchestrator import server_file

    server_file.announce(data, url)


def test_it_waits_for_the_device_and_names_it(tmp_path: Path) -> None:
    with waiting(tmp_path / "desktop") as desktop:
        announced(tmp_path / "desktop", desktop.server.url)
        with command(tmp_path / "desktop", "--json") as process:
            assert process.stdout is not None
            begun = ""
            while not begun.endswith("}\n"):
                begun += process.stdout.readline()
            pair(json.loads(begun)["link"], tmp_path / "phone", "Pixel 9")
            rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and json.loads(rest)["name"] == "Pixel 9"


def test_an_interrupt_ends_the_pairing(tmp_path: Path) -> None:
    with waiting(tmp_path / "desktop") as desktop:
        announced(tmp_path / "desktop", desktop.server.url)
        with command(tmp_path / "desktop") as process:
            assert process.stdout is not None
            shown = ""
            while not re.search(CODE, shown):
                shown += process.stdout.readline()
            process.send_signal(signal.SIGINT)
            shown += process.communicate(timeout=60)[0]
        assert desktop.state()["state"] == "cancelled"
    assert process.returncode == 130
    assert PairingLink.parse(next(line for line in shown.splitlines() if "#" in line))


def test_without_a_server_and_on_loopback_it_says_what_to_run(tmp_path: Path) -> None:
    with command(tmp_path) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 4 and "orchestrator serve --host '*'" in said
    with listening(tmp_path / "desktop", api_key=KEY) as server:
        announced(tmp_path / "desktop", server.url)
        with command(tmp_path / "desktop") as process:
            shown, said = process.communicate(timeout=60)
    assert process.returncode != 0 and "orchestrator serve" in said and "--host '*'" in said and not shown


def test_a_qr_code_fits_a_terminal_of_80_columns_and_is_read_in_either_colours() -> None:
    link = "http://192.168.100.100:5000/pair#v=1&h=" + "x" * 86 + "&s=" + "y" * 22
    link += (
        "&a=192.168.100.100:5000&a=[fd00:1111:2222:3333:4444:5555:6666:7777]:5000&r=https://vps.example.org"
    )
    plain, coloured = terminal_lines(link, colour=False), terminal_lines(link, colour=True)
    assert max(map(len, plain)) <= 80 and len(plain) == len(coloured) <= 45
    # The quiet zone is light: white on black where nothing is known, and named where colours are.
    assert set(plain[0]) == {"█"} and "\x1b[38;5;16;48;5;231m" in coloured[0]
