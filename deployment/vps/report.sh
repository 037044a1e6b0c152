# shellcheck shell=bash
# Whether the whole way works, and what the person needs to know. Sourced by deploy_vps.sh.

# From outside in: name, TLS, nginx, server.
check_front() {
  local host=${DOMAIN:-$ADDRESS}
  [[ $host != *:* ]] || host="[$host]"
  # A reload returns before nginx listens where its new files say.
  curl --silent --show-error --fail --insecure --max-time 20 --output /dev/null \
    --retry 15 --retry-delay 1 --retry-connrefused \
    --connect-to "::127.0.0.1:$HTTPS_PORT" "https://$host:$HTTPS_PORT/health" \
    || fail "The server runs, but nginx does not reach it." "See /var/log/nginx/orchestrator/error.log"
}

report() {
  local enrol
  enrol="orchestrator vps enroll $(public_url)"
  status "Orchestrator $(version) answers at $(public_url)"
  note "model             $MODEL"
  if [[ $FRONT == none ]]; then
    TRUSTED=yes # as far as it is known here
    note "web server        yours; what it needs is below"
  else
    note "certificate       $([[ $TRUSTED == yes ]] && echo "Let's Encrypt, $DOMAIN" || echo self-signed)"
  fi
  if [[ $TRUSTED == no ]]; then
    note "  SHA-256         $(certificate_fingerprint)"
  fi
  note "key for clients   in $CONFIG/secrets.env (root only)"
  note "log               journalctl -u $UNIT"
  note "backups           $([[ -n $BACKUPS ]] && echo "every night in $BACKUPS, the newest $KEEP_BACKUPS" || echo "none (--backups DIR)")"
  [[ $FRONT == nginx ]] || print_proxy_snippets
  if has_desktop; then
    note "a desktop is enrolled; a code for another: sudo orchestrator-vps code"
    return 0
  fi
  echo
  status "At home, on the desktop, within an hour:"
  note "$enrol $(/usr/local/bin/orchestrator-vps code)$([[ $TRUSTED == yes ]] || printf ' --fingerprint %s' "$(certificate_fingerprint)")"
}
