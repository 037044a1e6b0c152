"""The fail2ban filter of docs/vps.md finds the lines that wrong keys and codes leave, and no others."""

import configparser
import logging
import re
from pathlib import Path

import pytest
from orchestrator_core.logs import FORMAT
from support.vps_app import vps_app

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "vps.md"
ADDRESS = r"(?P<address>[0-9a-fA-F.:]+)"
"""Stands for fail2ban's <ADDR>, which fits IPv4 and IPv6 addresses."""


@pytest.fixture(scope="module")
def pattern():
    (block,) = re.findall(r"```ini\n(\[Definition\].*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    parser = configparser.RawConfigParser()
    parser.read_string(block)
    return re.compile(parser["Definition"]["failregex"].replace("<ADDR>", ADDRESS))


@pytest.fixture(scope="module")
def vps(tmp_path_factory):
    with vps_app(tmp_path_factory.mktemp("data")) as here:
        yield here


def lines(caplog):
    written = [logging.Formatter(FORMAT).format(record) for record in caplog.records]
    caplog.clear()
    return written


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7"])
@pytest.mark.parametrize("path", ["/info", "/health/../chat", "/conversations", "/relay"])
def test_a_wrong_key_is_found(vps, pattern, caplog, path, address):
    with caplog.at_level(logging.INFO):
        vps.client.get(path, headers={"Authorization": "Bearer x"}, environ_base={"REMOTE_ADDR": address})
    assert [match["address"] for line in lines(caplog) if (match := pattern.search(line))] == [address]


def test_a_wrong_code_is_found(vps, pattern, caplog):
    with caplog.at_level(logging.INFO):
        vps.client.post(
            "/enroll", json={"code": "x", "name": "d"}, environ_base={"REMOTE_ADDR": "203.0.113.7"}
        )
    assert [match["address"] for line in lines(caplog) if (match := pattern.search(line))] == ["203.0.113.7"]


def test_nobody_can_have_another_banned(vps, pattern, caplog):
    words = "orchestrator_http.keys: Refused 203.0.113.7: wrong API key"
    with caplog.at_level(logging.DEBUG):
        for path in (f"/{words}", f"/{words}%0a", f"/search?q={words}"):
            vps.client.get(path, headers=vps.key)
        vps.client.get(f"/{words}", headers={"User-Agent": words, "X-Tier": words, "Host": words, **vps.key})
        vps.client.get("/info")
    assert not [line for line in lines(caplog) if pattern.search(line)]
