"""A real nginx with the site of deployment/, on a port of its own, with a certificate of its own."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Self

from support.namespaces import Host

SITE = Path(__file__).resolve().parents[2] / "deployment" / "nginx" / "orchestrator-vps.conf"
START_S = 15.0


def missing() -> str | None:
    """Why there can be no nginx here; None when there can."""
    absent = [program for program in ("nginx", "openssl") if shutil.which(program) is None]
    return f"the tests need {' and '.join(absent)}" if absent else None


class Nginx:
    """
    Args:
        address: where to listen, with TLS.
        upstream: port of the VPS server on 127.0.0.1.
        host: where to run; None: here.
    """

    def __init__(
        self, folder: Path, address: tuple[str, int], upstream: int, host: Host | None = None
    ) -> None:
        self._folder = folder
        self._host = host
        self._address = address
        self.url = f"https://{address[0]}:{address[1]}"
        self.certificate = folder / "nginx.crt"
        folder.mkdir(parents=True, exist_ok=True)
        self._make_certificate()
        (folder / "site.conf").write_text(self._site(upstream))
        (folder / "nginx.conf").write_text(self._main())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate, as people compare it."""
        der = ssl.PEM_cert_to_DER_cert(self.certificate.read_text())
        digest = hashlib.sha256(der).hexdigest().upper()
        return ":".join(re.findall("..", digest))

    def __enter__(self) -> Self:
        command = ["nginx", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf")]
        if self._host is not None:
            command = self._host.command(command)
        self._process = subprocess.Popen(command)
        give_up = time.monotonic() + START_S
        while not self._listens():
            assert self._process.poll() is None, (self._folder / "error.log").read_text()
            assert time.monotonic() < give_up, "nginx does not listen"
            time.sleep(0.05)
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(10)

    def _listens(self) -> bool:
        if self._host is None:
            return _connects(self._address)
        with self._host.entered():
            return _connects(self._address)

    def _site(self, upstream: int) -> str:
        """The site as deploy_vps.sh fills it in for a server without a domain."""
        words = {
            "PORT": str(self._address[1]),
            "LISTEN": "ssl",
            "APP_PORT": str(upstream),
            "NAMES": "_",
            "CERTIFICATE": str(self.certificate),
            "KEY": str(self._folder / "nginx.key"),
        }
        lines = [line for line in SITE.read_text().splitlines() if not re.match(r"\s*@[A-Z0-9]+:@", line)]
        text = "\n".join(lines)
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        return text.replace("/var/log/nginx/orchestrator/", f"{self._folder}/")

    def _main(self) -> str:
        here = self._folder
        temporary = "\n".join(
            f"{name}_temp_path {here}/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""daemon off;
pid {here}/nginx.pid;
error_log {here}/error.log;
worker_processes 1;
events {{ worker_connections 2048; }}
http {{
{temporary}
include {here}/site.conf;
}}
"""

    def _make_certificate(self) -> None:
        name = f"subjectAltName=IP:{self._address[0]}"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        about = ["-days", "2", "-subj", "/CN=orchestrator", "-addext", name]
        files = ["-keyout", str(self._folder / "nginx.key"), "-out", str(self.certificate)]
        command = ["openssl", "req", "-x509", *key, *about, *files]
        subprocess.run(command, check=True, capture_output=True)


def _connects(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, 1):
            return True
    except OSError:
        return False
