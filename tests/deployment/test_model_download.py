"""`deploy_vps.sh --model URL`: the part that fetches the file, against a real nginx with TLS."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import nginx
from support.nginx import Nginx
from support.ports import free_port

MODEL_SH = Path(__file__).resolve().parents[2] / "deployment" / "vps" / "model.sh"
CONTENT = b"GGUF" + os.urandom(3_000_000)
SUM = hashlib.sha256(CONTENT).hexdigest()

pytestmark = pytest.mark.skipif(
    nginx.missing() is not None and not os.environ.get("CI"), reason=str(nginx.missing())
)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Nginx]:
    """A server of files, as a model hub is."""
    folder = tmp_path / "hub"
    server = Nginx(folder, ("127.0.0.1", free_port()), upstream=9)
    (folder / "files").mkdir()
    (folder / "files" / "model.gguf").write_bytes(CONTENT)
    (folder / "site.conf").write_text(f"""
    log_format ranges '$request $status $http_range';
    server {{
      listen 127.0.0.1:{server.url.rpartition(":")[2]} ssl;
      ssl_certificate {server.certificate}; ssl_certificate_key {folder}/nginx.key;
      access_log {folder}/access.log ranges;
      root {folder}/files;
    }}""")
    if os.geteuid() == 0:  # nginx's workers would be nobody, who may not read the test's folder
        configuration = folder / "nginx.conf"
        configuration.write_text("user root;\n" + configuration.read_text())
    with server:
        yield server


def download(hub: Nginx, target: Path, sum_: str = SUM) -> subprocess.CompletedProcess[str]:
    """`download_model`, with the two ways of saying something that it is given by deploy_vps.sh."""
    script = f"""
    set -euo pipefail
    fail() {{ echo "$*" >&2; exit 1; }}
    status() {{ echo "$*"; }}
    . {MODEL_SH}
    MODEL={hub.url}/model.gguf SHA256={sum_}
    download_model {target}
    """
    env = {"PATH": os.environ["PATH"], "CURL_CA_BUNDLE": str(hub.certificate)}
    return subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)


def test_a_model_is_fetched_and_not_fetched_again(hub: Nginx, tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    for _ in range(2):
        done = download(hub, target)
        assert done.returncode == 0, done.stderr
        assert target.read_bytes() == CONTENT
    assert (tmp_path / "hub" / "access.log").read_text().count("GET /model.gguf") == 1


def test_an_interrupted_download_goes_on_where_it_stopped(hub: Nginx, tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    (tmp_path / "model.gguf.part").write_bytes(CONTENT[:1_000_000])
    done = download(hub, target)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == CONTENT
    assert "206 bytes=1000000-" in (tmp_path / "hub" / "access.log").read_text()


def test_what_has_another_sum_is_not_kept(hub: Nginx, tmp_path: Path) -> None:
    done = download(hub, tmp_path / "model.gguf", "0" * 64)
    assert done.returncode == 1
    assert "does not have the sha256" in done.stderr
    assert not list(tmp_path.glob("model.gguf*"))


def test_a_server_that_is_not_the_one_it_says_is_not_believed(hub: Nginx, tmp_path: Path) -> None:
    hub.certificate.write_text("")
    done = download(hub, tmp_path / "model.gguf")
    assert done.returncode == 1
    assert "could not be downloaded" in done.stderr
