"""The way through nginx: TLS, headers, streams, limits and logs."""

import json

from support.vps_machine import BOOTED, curl

pytestmark = BOOTED

ENDLESS_STREAM = """
import ssl, http.client, re
key = re.search("=(.*)", open("/etc/orchestrator/secrets.env").read())[1]
connection = http.client.HTTPSConnection("127.0.0.1", context=ssl._create_unverified_context(), timeout=10)
connection.request("GET", "/sync/events", headers={"Authorization": f"Bearer {key}"})
print(connection.getresponse().readline().decode())
"""

HUNDRED_STREAMS = """
import json, ssl, http.client, re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
key = re.search("=(.*)", open("/etc/orchestrator/secrets.env").read())[1]
trusting = ssl._create_unverified_context()
all_connected = Barrier(100)

def stream(number):
    connection = http.client.HTTPSConnection("127.0.0.1", context=trusting, timeout=200)
    connection.connect()
    all_connected.wait(60)
    question = {"model": "any", "messages": [{"role": "user", "content": f"What is {number}?"}],
                "max_tokens": 4, "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(question),
                       {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, (answer.status, body)
    assert body.endswith(b"data: [DONE]\\n\\n"), body[-300:]

with ThreadPoolExecutor(100) as clients:
    print(len(list(clients.map(stream, range(100)))))
"""


def test_plain_http_leads_to_https_and_keeps_the_method(vps):
    head = curl(vps, "/generate?x=1", "--head -X POST", base="http://127.0.0.1", key=False)
    assert "308 Permanent Redirect" in head
    assert "Location: https://127.0.0.1/generate?x=1" in head


def test_http_2_is_spoken(vps):
    said = curl(vps, "/health", "--http2 --output /dev/null --write-out '%{http_version} %{http_code}'")
    assert said == "2 200"


def test_old_tls_is_refused(vps):
    done = vps.run(
        "curl --silent --insecure --tls-max 1.1 --ciphers DEFAULT@SECLEVEL=0 https://127.0.0.1/health"
    )
    assert done.returncode == 35


def test_every_security_header_is_there_once(vps):
    names = [
        line.split(":")[0].lower()
        for line in curl(vps, "/info", "--dump-header - --output /dev/null").splitlines()
    ]
    for name in ("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy",
                 "cross-origin-resource-policy", "cache-control"):  # fmt: skip
        assert names.count(name) == 1, name


def test_nothing_is_held_back(vps):
    """A stream that never ends: a proxy that collects it would show nothing within the time."""
    said = vps.output("/opt/orchestrator/current/venv/bin/python - <<'END'\n" + ENDLESS_STREAM + "\nEND")
    assert said.startswith(("data:", "event:", "id:"))


def test_a_hundred_clients_stream_at_once(vps):
    said = vps.output(
        "/opt/orchestrator/current/venv/bin/python - <<'END'\n" + HUNDRED_STREAMS + "\nEND", timeout=240
    )
    assert said == "100"


def test_a_websocket_without_a_credential_is_refused_by_the_server_itself(vps):
    upgrade = "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='"
    refusal = json.loads(curl(vps, "/relay", "--http1.1", upgrade, key=False))
    assert refusal["error"]["type"] == "authentication_error"


def test_a_body_over_the_limit_is_refused_in_the_api_s_words(vps):
    vps.output("truncate -s 9M /tmp/large")
    refusal = json.loads(
        curl(vps, "/sync", "--data-binary @/tmp/large -H 'Content-Type: application/json' -H 'Expect:'")
    )
    assert refusal["error"]["code"] == "payload_too_large"


def test_who_goes_on_with_wrong_codes_is_told_to_stop(vps):
    body = """'{"code": "x", "name": "y"}'"""
    one = f"curl --silent --insecure -o /dev/null -w '%{{http_code}} ' --json {body} https://127.0.0.1/enroll"
    codes = vps.output(f"for i in $(seq 12); do {one}; done").split()
    assert codes[0] == "403" and codes[-1] == "429"


def test_the_client_s_address_is_the_one_nginx_saw(vps):
    curl(vps, "/of-a-liar", "-H 'X-Forwarded-For: 203.0.113.9'")
    line = "journalctl -u orchestrator-vps --no-pager -o cat | grep 'GET /of-a-liar'"
    log = vps.output(f"until {line}; do sleep 0.2; done")
    assert "127.0.0.1" in log
    assert "203.0.113.9" not in log


def test_what_people_search_for_is_not_logged(vps):
    curl(vps, "/search?q=tax+return")
    log = vps.output("tail -1 /var/log/nginx/orchestrator/access.log")
    assert '"GET /search" 200' in log
    assert "tax" not in log
    vps.output("logrotate --force /etc/logrotate.d/orchestrator-vps")
    curl(vps, "/info")
    assert '"GET /info"' in vps.output("cat /var/log/nginx/orchestrator/access.log")


def test_another_name_is_refused(vps):
    refusal = json.loads(curl(vps, "/info", "-H 'Host: evil.example.org'"))
    assert refusal["error"]["code"] == "foreign_host"
