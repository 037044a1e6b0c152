"""nginx's limits with the site of deployment/: a flood from an address does not keep a right key of that address out."""

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from support.nginx import Nginx, missing
from support.ports import free_port

pytestmark = pytest.mark.skipif(missing() is not None and not os.environ.get("CI"), reason=str(missing()))

FLOOD = 450
"""More than the burst, as fast as it goes."""


class Yes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Yes)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with Nginx(tmp_path_factory.mktemp("nginx"), ("127.0.0.1", free_port()), upstream.server_port) as running:
        yield running
    upstream.shutdown()
    upstream.server_close()


def statuses(nginx, count, path="/info", **headers):
    with requests.Session() as session:
        session.trust_env = False  # A CA of the environment would be asked instead.
        session.verify = str(nginx.certificate)
        return [session.get(nginx.url + path, headers=headers, timeout=10).status_code for _ in range(count)]


def test_a_flood_of_wrong_keys_leaves_the_right_one_alone(nginx):
    assert 429 in statuses(nginx, FLOOD, Authorization="Bearer wrong")
    assert statuses(nginx, 20, Authorization="Bearer right") == [200] * 20
    assert statuses(nginx, 20, "/enroll") == [200] * 20
