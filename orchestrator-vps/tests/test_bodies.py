"""Request bodies that tell no length (chunked), over a real socket: gunicorn itself limits none of them."""

import http.client
import json
from contextlib import suppress

import pytest
from support.vps import KEY, Vps

LIMIT = 64 * 1024
ENROLL_LIMIT = 4096
OWN_ROUTES = [
    ("/chat", LIMIT),
    ("/chat/stream", LIMIT),
    ("/conversations", LIMIT),
    ("/generate", LIMIT),
    ("/v1/chat/completions", LIMIT),
    ("/enroll", ENROLL_LIMIT),
]


@pytest.fixture(scope="module")
def vps(tmp_path_factory):
    with Vps(tmp_path_factory.mktemp("vps"), ORCHESTRATOR_SERVER__MAX_BODY_BYTES=str(LIMIT)) as running:
        yield running


def send(vps, path, size):
    """A JSON object of so many bytes, in chunks; the answer's status and body."""
    frame = b'{"message": "", "nothing": ""}'
    body = frame[:-2] + b"x" * (size - len(frame)) + frame[-2:]
    connection = http.client.HTTPConnection("127.0.0.1", vps.port, timeout=20)
    connection.putrequest("POST", path)
    for name, value in {
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Transfer-Encoding": "chunked",
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    # The server may answer, and close, before it has read everything.
    with suppress(ConnectionError):
        for start in range(0, len(body), 10_000):
            part = body[start : start + 10_000]
            connection.send(b"%x\r\n%b\r\n" % (len(part), part))
        connection.send(b"0\r\n\r\n")
    answer = connection.getresponse()
    said = json.loads(answer.read())
    connection.close()
    return answer.status, said


@pytest.mark.parametrize("more", [1, 10 * LIMIT])
@pytest.mark.parametrize(("path", "limit"), OWN_ROUTES)
def test_one_over_the_limit_is_refused_as_such(vps, path, limit, more):
    status, said = send(vps, path, limit + more)
    assert (status, said["error"]["code"]) == (413, "payload_too_large")
    assert "larger than this server accepts" in said["error"]["message"]


@pytest.mark.parametrize(("path", "limit"), OWN_ROUTES)
def test_one_as_long_as_the_limit_is_read(vps, path, limit):
    assert send(vps, path, limit)[0] in (201, 400)  # it says little


def test_the_server_goes_on_after_bodies_that_it_left_unread(vps):
    for _ in range(3):
        assert send(vps, "/chat", 20 * LIMIT)[0] == 413
    assert vps.post("/chat", {"message": "Hi"}).status_code == 200
