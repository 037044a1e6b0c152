"""Pairing beyond one machine: through the VPS, and beside a host that pretends to be the desktop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from ai_orchestrator.advertisement import Advertisement
from mobile_sync.discovery import Discovery
from mobile_sync.errors import PairingFailed
from mobile_sync.household import Household
from mobile_sync.pairing import pair
from orchestrator_relay.identity.machine import PublicIdentity
from orchestrator_relay.identity.sealing import MEDIA_TYPE
from support import namespaces, nginx
from support.desktop import listening
from support.fleet import Fleet
from support.namespaces import Network
from support.pairing import KEY
from support.waiting import wait_until

pytestmark = pytest.mark.slow

_NO_NGINX, _NO_NAMESPACES = nginx.missing(), namespaces.missing()


@pytest.mark.skipif(_NO_NGINX is not None and not os.environ.get("CI"), reason=str(_NO_NGINX))
def test_a_phone_away_from_home_joins_through_the_vps_and_is_known_there(tmp_path: Path) -> None:
    with Fleet(tmp_path, behind_nginx=True) as fleet:
        fleet.connect()
        begun = requests.post(f"{fleet.desktop_url}/pairing", timeout=30).json()
        assert begun["urls"] == [] and begun["vps"] == fleet.url
        membership = pair(begun["link"], tmp_path / "phone", "Pixel")
        assert membership.vps_url == fleet.url and membership.vps is not None
        with Household(membership, tmp_path / "phone") as household:
            wait_until(lambda: household.answers(fleet.url))

        other = requests.post(f"{fleet.desktop_url}/pairing", timeout=30).json()["link"]
        fingerprint = "f=" + other.partition("f=")[2][:64]
        with pytest.raises(PairingFailed) as caught:
            pair(other.replace(fingerprint, "f=" + "0" * 64), tmp_path / "second", "Other")
        assert caught.value.code == "not_the_desktop"


needs_namespaces = pytest.mark.skipif(
    _NO_NAMESPACES is not None and not os.environ.get("CI"), reason=str(_NO_NAMESPACES)
)


@needs_namespaces
def test_with_the_code_alone_the_desktop_is_found_in_the_network(tmp_path: Path) -> None:
    with Network("desktop", "phone") as network:
        desktop, phone = network["desktop"], network["phone"]
        with desktop.entered(), listening(tmp_path / "desktop", host="*", api_key=KEY, port=5000) as server:
            owner = {"Authorization": f"Bearer {KEY}"}
            code = requests.post(f"{server.url}/pairing", headers=owner, timeout=30).json()["code"]
            command = [
                sys.executable,
                "-m",
                "ai_orchestrator.cli",
                "phone",
                "pair",
                "--data",
                str(tmp_path / "phone"),
            ]
            joined = subprocess.run(
                phone.command(command),
                input=f"{code}\n",
                env=dict(os.environ),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert joined.returncode == 0, joined.stderr
            state = requests.get(f"{server.url}/pairing", headers=owner, timeout=30).json()
    assert state["state"] == "paired" and server.services.household.identity.id in joined.stdout


class Rogue:
    """Answers as the desktop would, as far as one can who has not its keys."""

    def __init__(self, household: PublicIdentity) -> None:
        self.heard = b""
        rogue = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = {"id": household.id, "identity": household.text(), "status": "ok"}
                self._answer("application/json", json.dumps(known).encode())

            def do_POST(self) -> None:
                self._answer(MEDIA_TYPE, os.urandom(300))

            def _answer(self, kind: str, content: bytes) -> None:
                rogue.heard += self.requestline.encode() + bytes(self.headers)
                rogue.heard += self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                """Not to the terminal."""

        self.server = ThreadingHTTPServer(("0.0.0.0", 5000), Handler)

    @contextmanager
    def serving(self) -> Iterator[None]:
        thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


@needs_namespaces
def test_a_host_with_the_desktops_name_and_id_learns_nothing_and_is_skipped(tmp_path: Path) -> None:
    with Network("desktop", "rogue", "phone") as network:
        with network["desktop"].entered():
            desktop = listening(tmp_path / "desktop", host="*", api_key=KEY, port=5000)
            server = desktop.__enter__()
        identity = server.services.household.identity.public
        with network["rogue"].entered():
            rogue = Rogue(identity)
            lie = Advertisement(identity.id, "0.1.0", ["0.0.0.0"], 5000).start()
        true_url, false_url = "http://10.77.0.1:5000", "http://10.77.0.2:5000"
        try:
            with rogue.serving(), network["phone"].entered():
                # Two hosts that claim one name also overwrite each other's address in caches, so the lie may be all
                # that is heard: where the desktop was before is known from pairing.
                discovery = Discovery(
                    identity.id,
                    known=lambda: [true_url],
                    environ={},
                ).start()
                wait_until(lambda: false_url in {one.url for one in discovery.candidates()})
                with network["desktop"].entered():
                    begun = requests.post(
                        f"{server.url}/pairing", headers={"Authorization": f"Bearer {KEY}"}, timeout=30
                    ).json()
                assert begun["urls"] == [true_url]
                membership = pair(
                    begun["code"], tmp_path / "phone", "Annas Pixel", urls=[false_url, true_url]
                )
                assert membership.household == identity and list(membership.urls) == [true_url]
                with Household(membership, tmp_path / "phone") as household:
                    found = [one.url for one in discovery.candidates() if household.answers(one.url)]
                    assert found == [true_url]
                    own = household.identity.public
                discovery.close()
        finally:
            lie.close()
            desktop.__exit__(None, None, None)
    assert rogue.heard.count(b"POST /sealed") >= 2
    for secret in (
        b"Pixel",
        begun["code"].encode(),
        own.text().encode(),
        own.id.encode(),
        identity.id.encode(),
    ):
        assert secret not in rogue.heard
