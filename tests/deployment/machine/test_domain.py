"""A machine with a domain. Let's Encrypt is played by a script, the rest is real. In this order."""

from support.vps_machine import BOOTED, BUILD_S, INSTALL, SCRIPT, curl

pytestmark = BOOTED

BASE = "https://vps.example.org"
HERE = "--resolve vps.example.org:443:127.0.0.1 --resolve vps.example.org:80:127.0.0.1"

PLAYED_CERTBOT = """#!/bin/bash
set -e
while (($#)); do
  case $1 in --webroot-path) webroot=$2 ;; --domain) domain=$2 ;; esac
  shift
done
mkdir -p "$webroot/.well-known/acme-challenge"
echo proof > "$webroot/.well-known/acme-challenge/token"
seen=$(curl -s --resolve "$domain:80:127.0.0.1" "http://$domain/.well-known/acme-challenge/token")
[ "$seen" = proof ]
mkdir -p "/etc/letsencrypt/live/$domain"
cd "/etc/letsencrypt/live/$domain"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 90 -subj "/CN=$domain" \\
  -addext "subjectAltName=DNS:$domain" -keyout privkey.pem -out fullchain.pem 2>/dev/null
"""


def test_a_name_that_does_not_lead_here_gets_the_own_certificate_for_now(vps):
    vps.output("apt-get -qq install --no-install-recommends --yes ufw certbot >/dev/null")
    vps.output("printf '#!/bin/sh\\nexit 1\\n' > /usr/local/bin/certbot; chmod +x /usr/local/bin/certbot")
    done = vps.run(f"{INSTALL} --domain vps.example.org --firewall", BUILD_S)
    assert done.returncode == 0, done.stderr
    assert "no certificate for vps.example.org" in done.stderr
    assert "--fingerprint" in done.stdout
    head = curl(vps, "/health", f"{HERE} --insecure --head", base=BASE)
    assert "200" in head
    assert "strict-transport-security" not in head.lower()


def test_the_proof_is_given_through_nginx_and_the_certificate_used(vps):
    (vps.root / "usr/local/bin/certbot").write_text(PLAYED_CERTBOT)
    done = vps.output(INSTALL, BUILD_S)
    assert "nothing to restart" in done
    assert "--fingerprint" not in done
    authority = "/etc/letsencrypt/live/vps.example.org/fullchain.pem"
    head = vps.output(f"curl -sS --head --cacert {authority} {HERE} {BASE}/health")
    assert "strict-transport-security" in head.lower()
    assert vps.run(f"{INSTALL} | grep asking").returncode == 1


def test_the_firewall_gets_its_rules_and_stays_as_it_was(vps):
    def rules() -> set[str]:
        return {line.split(" comment")[0] for line in vps.output("ufw show added").splitlines()[1:]}

    assert rules() == {"ufw allow 80/tcp", "ufw allow 443/tcp"}
    assert "inactive" in vps.output("ufw status")
    vps.output(f"{INSTALL} --port 8443", BUILD_S)
    assert rules() == {"ufw allow 80/tcp", "ufw allow 8443/tcp"}
    vps.output(f"{SCRIPT} --uninstall --yes --delete-data")
    assert "tcp" not in vps.output("ufw show added")
