# shellcheck shell=bash
# shellcheck disable=SC2034 # the parts share their variables
# Switching between releases, and whether what runs is well. Sourced by deploy_vps.sh.
#
# A switch may be interrupted anywhere. Its journal says what it wants and what was there before; the next run
# goes on from it. So each step either changes nothing the second time, or is done in one rename.

HEALTH_S=300 # a large model takes its time to load
KEPT=$STATE.before-upgrade # databases and documents as they were before the switch

# Make RELEASE with the settings in $CONFIG/deployment.env.new the one that runs. A release that is
# not well makes way for the one before. Nothing is done where nothing changed.
activate() {
  finish_restoring
  if [[ $(pointed_at current) == "$RELEASE" ]] && unchanged && is_well; then
    finish_switch
    rm -f "$CONFIG/deployment.env.new"
    status "nothing to restart: release and settings are as they were"
    return 0
  fi
  # One that was interrupted when all was done but the last lines.
  if [[ -n $(switching ACTION) ]] && is_well; then finish_switch; fi
  begin_switch install "$RELEASE"
  systemctl stop "$UNIT" 2>/dev/null || true
  keep_state
  install_release "$RELEASE"
  keep_options
  mv "$CONFIG/deployment.env.new" "$CONFIG/deployment.env"
  status "starting"
  if start_service && answers; then
    finish_switch
    return 0
  fi
  explain_failure
  go_back
}

# Exchange current and previous, on request.
roll_back() {
  local before
  finish_restoring
  if [[ $(switching ACTION) == rollback ]]; then
    RELEASE=$(switching TO)
  else
    [[ -z $(switching ACTION) ]] || fail "An upgrade was interrupted." "Run deploy_vps.sh again to finish it, first."
    RELEASE=$(pointed_at previous)
    [[ -n $RELEASE && -d $RELEASE ]] || fail "There is no previous release to return to."
    agreed "Return from $(basename "$(pointed_at current)") to $(basename "$RELEASE")?" || exit 1
    begin_switch rollback "$RELEASE"
  fi
  before=$(switching FROM)
  systemctl stop "$UNIT"
  keep_state
  install_release "$RELEASE"
  status "starting $(basename "$RELEASE")"
  if start_service && answers; then
    install_site
    status "$(basename "$RELEASE") runs again"
    finish_switch
    return 0
  fi
  explain_failure
  warning "$(basename "$RELEASE") does not answer; returning to $(basename "$before")"
  systemctl stop "$UNIT" || true
  install_release "$before"
  return_to_kept "$before"
  RELEASE=$before finish_switch
  fail "The previous release cannot run with the data of today; nothing was changed." \
    "What it said is above. Databases do not go back by themselves: nothing that was said may be lost."
}

# The release before, with its settings, as it was.
go_back() {
  local before failed=$RELEASE
  before=$(switching FROM)
  if [[ $before == none ]]; then
    systemctl disable --now --quiet "$UNIT" || true
    rm -f "$APP/current"
    finish_switch
    fail "The service does not answer; it is switched off." "Mend the cause and run the same command again."
  fi
  warning "the new release is not well; going back to $(basename "$before")"
  systemctl stop "$UNIT" || true
  install_release "$before"
  [[ ! -f $CONFIG/deployment.env.before ]] || cp -p "$CONFIG/deployment.env.before" "$CONFIG/deployment.env"
  return_to_kept "$before"
  RELEASE=$before finish_switch
  [[ $failed == "$before" || $failed == "$(pointed_at previous)" ]] || rm -rf "$failed"
  fail "The upgrade failed and was undone; $(basename "$before") runs again." \
    "What the new release said is above, and in: journalctl -u $UNIT"
}

# Start the release that was there before; where the newer one has changed the databases, with the copy of them.
return_to_kept() {
  if start_service && answers; then return 0; fi
  systemctl stop "$UNIT" || true
  point aside "$STATE.failed-$(date -u +%Y%m%d-%H%M%S)"
  warning "it cannot use the data as the newer release left it; that is kept in $(pointed_at aside)"
  finish_restoring
  if start_service && answers; then return 0; fi
  fail "The release before does not answer either." "journalctl -u $UNIT"
}

# Put the copy in the place of the data; what is there goes to the folder that `aside` names. Does nothing
# where that was not begun.
finish_restoring() {
  local aside
  aside=$(pointed_at aside)
  [[ -n $aside ]] || return 0
  systemctl stop "$UNIT" 2>/dev/null || true
  if [[ ! -d $aside ]]; then
    put_state mv "$STATE" "$aside.part"
    mv -T "$aside.part" "$aside"
  fi
  put_state "cp -a --reflink=auto" "$KEPT" "$STATE"
  rm -f "$APP/aside"
}

# begin_switch ACTION RELEASE: from what runs now, or from where an interrupted switch began.
begin_switch() {
  local from
  from=$(switching FROM)
  if [[ -z $from ]]; then
    rm -rf "$KEPT" "$CONFIG/deployment.env.before" # of a switch that is over
    from=$(pointed_at current)
  fi
  printf 'ACTION=%s\nFROM=%s\nTO=%s\n' "$1" "${from:-none}" "$2" >"$APP/switch.new"
  mv "$APP/switch.new" "$APP/switch"
}

# switching ACTION|FROM|TO: of the switch under way; nothing when there is none.
switching() { sed -n "s/^$1=//p" "$APP/switch" 2>/dev/null || true; }

# The switch is over, if there was one, and RELEASE runs.
finish_switch() {
  local from
  from=$(switching FROM)
  [[ -z $from || $from == none || $from == "$RELEASE" || $(pointed_at current) != "$RELEASE" ]] || point previous "$from"
  rm -f "$APP/switch"
  rm -rf "$KEPT" "$CONFIG/deployment.env.before"
}

# What cannot be made again, once for each switch. The service must be stopped: a database and its -wal file
# belong together.
keep_state() {
  [[ ! -d $KEPT ]] || return 0
  rm -rf "$KEPT.part"
  put_state "cp -a --reflink=auto" "$STATE" "$KEPT.part"
  mv -T "$KEPT.part" "$KEPT"
}

keep_options() {
  [[ -f $CONFIG/deployment.env && ! -f $CONFIG/deployment.env.before ]] || return 0
  cp -p "$CONFIG/deployment.env" "$CONFIG/deployment.env.part"
  mv "$CONFIG/deployment.env.part" "$CONFIG/deployment.env.before"
}

# put_state COMMAND FROM TO: cp or mv what is memory or credential.
put_state() {
  local how
  read -ra how <<<"$1"
  [[ -d $3 ]] || install -d -m 0700 "$3"
  find "$2" -mindepth 1 -maxdepth 1 ! -name models ! -name engine ! -name '*.log*' \
    -exec "${how[@]}" -t "$3" -- {} +
}

# Type=notify: this returns when the server answers, or failed.
start_service() {
  STARTED_AT=$(date '+%Y-%m-%d %H:%M:%S')
  systemctl reset-failed "$UNIT" 2>/dev/null || true
  systemctl enable --quiet "$UNIT" || return 1
  systemctl start "$UNIT"
}

is_well() { systemctl is-active --quiet "$UNIT" && answers; }

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

# install_release FOLDER: its unit and command, and `current`.
install_release() {
  install -m 0644 "$1/deployment/systemd/$UNIT.service" "/etc/systemd/system/$UNIT.service"
  if grep -q '"build": "cuda"' "$1/venv/engine.json"; then
    install -D -m 0644 "$1/deployment/systemd/gpu.conf" "/etc/systemd/system/$UNIT.service.d/gpu.conf"
  else
    rm -f "/etc/systemd/system/$UNIT.service.d/gpu.conf"
  fi
  install -m 0755 "$1/deployment/vps/orchestrator-vps" /usr/local/bin/orchestrator-vps
  systemctl daemon-reload
  point current "$1"
}

unchanged() {
  cmp -s "$CONFIG/deployment.env.new" "$CONFIG/deployment.env" \
    && cmp -s "$RELEASE/deployment/systemd/$UNIT.service" "/etc/systemd/system/$UNIT.service"
}
