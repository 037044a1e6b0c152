"""Beside a web server of the owner's: no nginx, and what that server needs is printed."""

import json

from support.vps_machine import BOOTED, BUILD_S, INSTALL, SCRIPT

pytestmark = BOOTED


def test_without_nginx_the_server_answers_its_proxy(bare):
    bare.output("systemctl stop nginx")
    bare.output("systemd-run --unit=own-proxy python3 -m http.server 80")
    said = bare.output(f"{INSTALL} --no-nginx --domain vps.example.org --app-port 8201", BUILD_S)
    assert "reverse_proxy 127.0.0.1:8201" in said and "ProxyPass / http://127.0.0.1:8201/" in said
    assert "orchestrator vps enroll https://vps.example.org " in said and "--fingerprint" not in said
    line = (
        "curl -s -H 'Host: vps.example.org' -H 'X-Forwarded-For: 203.0.113.9' -H 'X-Forwarded-Proto: https' "
    )
    assert json.loads(bare.output(line + "http://127.0.0.1:8201/health"))["status"] == "ok"
    assert (
        bare.run("systemctl is-active nginx; ls /etc/nginx/sites-enabled/orchestrator*").stdout.strip()
        == "inactive"
    )
    bare.output("systemctl stop own-proxy && systemctl start nginx")
    bare.output(f"{SCRIPT} --uninstall --yes --delete-data")
