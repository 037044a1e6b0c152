# shellcheck shell=bash
# shellcheck disable=SC2034 # the parts share their variables
# Switching between releases, and whether what runs is well. Sourced by deploy_vps.sh.

HEALTH_S=300 # a large model takes its time to load
KEPT=$STATE.before-upgrade # databases and documents as they were before a switch

# Make RELEASE with the settings in $CONFIG/deployment.env.new the one that runs. A release that is
# not well makes way for the one before. Nothing is done where nothing changed.
activate() {
  local before
  before=$(pointed_at current)
  if [[ $RELEASE == "$before" ]] && unchanged && systemctl is-active --quiet "$UNIT"; then
    rm -f "$CONFIG/deployment.env.new"
    status "nothing to restart: release and settings are as they were"
    return 0
  fi
  systemctl stop "$UNIT" 2>/dev/null || true
  rm -rf "$KEPT"
  put_state "cp -a --reflink=auto" "$STATE" "$KEPT"
  install_unit "$RELEASE"
  point current "$RELEASE"
  [[ ! -f $CONFIG/deployment.env ]] || cp -p "$CONFIG/deployment.env" "$CONFIG/deployment.env.before"
  mv "$CONFIG/deployment.env.new" "$CONFIG/deployment.env"
  status "starting"
  if start_service && answers; then
    [[ -z $before || $before == "$RELEASE" ]] || point previous "$before"
    rm -rf "$KEPT" "$CONFIG/deployment.env.before"
    return 0
  fi
  explain_failure
  if [[ -z $before ]]; then
    systemctl disable --now --quiet "$UNIT" || true
    rm -rf "$APP/current" "$KEPT"
    fail "The service does not answer; it is switched off." "Mend the cause and run the same command again."
  fi
  go_back "$before"
}

# The release before, with its settings, as it was.
go_back() {
  local aside
  warning "the new release is not well; going back to $(basename "$1")"
  systemctl stop "$UNIT" || true
  install_unit "$1"
  point current "$1"
  [[ ! -f $CONFIG/deployment.env.before ]] \
    || mv "$CONFIG/deployment.env.before" "$CONFIG/deployment.env"
  if ! { start_service && answers; }; then
    # Usually because the newer release has already changed a database.
    aside=$STATE.failed-$(date -u +%Y%m%d-%H%M%S)
    warning "it cannot use the data as the newer release left it; that is kept in $aside"
    systemctl stop "$UNIT" || true
    put_state mv "$STATE" "$aside"
    put_state "cp -a --reflink=auto" "$KEPT" "$STATE"
    if ! { start_service && answers; }; then
      fail "The release before does not answer either." "journalctl -u $UNIT"
    fi
  fi
  rm -rf "$KEPT"
  [[ $RELEASE == "$1" || $RELEASE == "$(pointed_at previous)" ]] || rm -rf "$RELEASE"
  fail "The upgrade failed and was undone; $(basename "$1") runs again." \
    "What the new release said is above, and in: journalctl -u $UNIT"
}

# Exchange current and previous, on request.
roll_back() {
  local current previous
  current=$(pointed_at current)
  previous=$(pointed_at previous)
  [[ -n $previous && -d $previous ]] || fail "There is no previous release to return to."
  agreed "Return from $(basename "$current") to $(basename "$previous")?" || exit 1
  systemctl stop "$UNIT"
  install_unit "$previous"
  point current "$previous"
  status "starting $(basename "$previous")"
  if start_service && answers; then
    point previous "$current"
    RELEASE=$previous install_site
    return 0
  fi
  explain_failure
  warning "$(basename "$previous") does not answer; returning to $(basename "$current")"
  systemctl stop "$UNIT" || true
  install_unit "$current"
  point current "$current"
  if ! { start_service && answers; }; then
    fail "It does not answer either." "journalctl -u $UNIT"
  fi
  fail "The previous release cannot run with the data of today; nothing was changed." \
    "What it said is above. Databases do not go back by themselves: nothing that was said may be lost."
}

# Type=notify: this returns when the server answers, or failed.
start_service() {
  STARTED_AT=$(date '+%Y-%m-%d %H:%M:%S')
  systemctl reset-failed "$UNIT" 2>/dev/null || true
  systemctl enable --quiet "$UNIT" || return 1
  systemctl start "$UNIT"
}

# Whether the model is loaded and really produces text: the health check after every start.
answers() {
  local waited=0 code
  while true; do
    systemctl is-active --quiet "$UNIT" || return 1
    code=$(ask_server /ready '"code": *"[a-z_]*"')
    [[ $code == 200* ]] && break
    # Loading, or the port is not open yet; anything else will not mend itself.
    [[ $code == 503*'"loading"'* || $code == 000* ]] || return 1
    ((++waited <= HEALTH_S)) || return 1
    sleep 1
  done
  [[ $(ask_server /generate '"response"' '{"prompt": "[INST] Are you well? [/INST]", "max_tokens": 8}') == 200* ]]
}

# ask_server PATH PATTERN [BODY]: the status, and what of the answer fits the pattern. The key goes
# through a pipe: arguments are for everyone to read.
ask_server() {
  local body=()
  [[ -z ${3:-} ]] || body=(--header "Content-Type: application/json" --data "$3")
  printf 'header = "Authorization: Bearer %s"\n' "$(api_key)" \
    | curl --silent --config - --max-time 120 --write-out '\n%{http_code}' "${body[@]}" "http://127.0.0.1:$APP_PORT$1" \
    | awk -v pattern="$2" '{ line[NR] = $0; if (match($0, pattern)) found = substr($0, RSTART, RLENGTH) }
        END { print line[NR], found }'
}

api_key() { sed -n 's/^ORCHESTRATOR_API_KEY=//p' "$CONFIG/secrets.env"; }

explain_failure() {
  warning "the service's last words:"
  journalctl --unit "$UNIT" --since "$STARTED_AT" --no-pager --lines 25 --output cat >&2 || true
}

install_unit() {
  install -m 0644 "$1/deployment/systemd/$UNIT.service" "/etc/systemd/system/$UNIT.service"
  if grep -q '"build": "cuda"' "$1/venv/engine.json"; then
    install -D -m 0644 "$1/deployment/systemd/gpu.conf" "/etc/systemd/system/$UNIT.service.d/gpu.conf"
  else
    rm -f "/etc/systemd/system/$UNIT.service.d/gpu.conf"
  fi
  install -m 0755 "$1/deployment/vps/orchestrator-vps" /usr/local/bin/orchestrator-vps
  systemctl daemon-reload
}

unchanged() {
  cmp -s "$CONFIG/deployment.env.new" "$CONFIG/deployment.env" \
    && cmp -s "$RELEASE/deployment/systemd/$UNIT.service" "/etc/systemd/system/$UNIT.service"
}

# put_state COMMAND FROM TO: cp or mv everything that cannot be made again. The service must be
# stopped: a database and its -wal file belong together.
put_state() {
  local how
  read -ra how <<<"$1"
  [[ -d $3 ]] || install -d -m 0700 "$3"
  find "$2" -mindepth 1 -maxdepth 1 ! -name models ! -name engine ! -name '*.log*' \
    -exec "${how[@]}" -t "$3" -- {} +
}
