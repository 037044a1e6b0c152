#!/usr/bin/env bash
# Checks what is deployed: shell scripts, nginx's site as it is rendered, systemd units.
# A tool that is missing is named; in CI (variable CI set) that is a failure.
# shellcheck disable=SC2034 # the parts that are sourced read the variables
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin

EXPOSURE_LIMIT=20 # systemd-analyze counts tenths: 2.0
LINTED_UNIT=deployment/systemd/orchestrator-vps.service

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

have() {
  command -v "$1" >/dev/null && return 0
  echo "note: $1 is not installed; $2 not checked" >&2
  [[ -z ${CI:-} ]] || exit 1
  return 1
}

shell_scripts() {
  git ls-files -co --exclude-standard '*.sh' .ci/run deployment/vps/orchestrator-vps
}

# The site, with each set of conditions, inside the smallest nginx.conf that takes it.
lint_nginx() {
  local DOMAIN=vps.example.org ADDRESS=2001:db8::7 APP_PORT=8001 HTTPS_PORT=8443 CONFIG=$work
  local CERTIFICATE=$work/cert.pem CERTIFICATE_KEY=$work/key.pem HAS_IPV6 TRUSTED HAS_HTTP2_DIRECTIVE name
  # shellcheck source=/dev/null
  . deployment/vps/settings.sh
  # shellcheck source=/dev/null
  . deployment/vps/nginx.sh
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2 -subj /CN=lint \
    -keyout "$CERTIFICATE_KEY" -out "$CERTIFICATE" 2>/dev/null
  look_at_nginx
  for HAS_IPV6 in yes no; do
    for TRUSTED in yes no; do
      {
        printf 'pid %s/pid; error_log stderr; events {}\nhttp {\n' "$work"
        for name in client_body proxy fastcgi uwsgi scgi; do
          printf '%s_temp_path %s/%s;\n' "$name" "$work" "$name"
        done
        # As anyone: other logs, and a port above 1024.
        render deployment/nginx/orchestrator-vps.conf | sed "s|/var/log/nginx/orchestrator|$work|"
        render deployment/nginx/orchestrator-vps-http.conf | sed -E 's/(listen .*)80;/\18080;/'
        printf '}\n'
      } >"$work/nginx.conf"
      if grep -n '@[A-Z0-9_]*[:@]' "$work/nginx.conf" | grep -v '@too_\|@away'; then
        echo "error: nginx's site has words that nobody filled in" >&2
        return 1
      fi
      nginx -t -q -c "$work/nginx.conf"
    done
  done
}

# With a program in the place of the one that is not installed here.
lint_units() {
  local unit
  for unit in deployment/systemd/*.service; do
    sed -E 's|^(ExecStart=)\S+|\1/bin/true|; s|@BACKUPS@|/var/backups|' "$unit" >"$work/${unit##*/}"
    systemd-analyze verify --man=no "$work/${unit##*/}"
  done
  if ! systemd-analyze security --offline=yes --threshold=$EXPOSURE_LIMIT "$LINTED_UNIT" >"$work/security"; then
    grep -v '✓' "$work/security" >&2
    return 1
  fi
}

if have shellcheck "shell scripts are"; then shell_scripts | xargs shellcheck -x; fi
if have nginx "nginx's site is"; then lint_nginx; fi
if have systemd-analyze "the units are"; then lint_units; fi
