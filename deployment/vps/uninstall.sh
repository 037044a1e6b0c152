# shellcheck shell=bash
# Removing what deploy_vps.sh installed. Sourced by it.

uninstall() {
  agreed "Stop the service and remove the program from this machine?" || exit 1
  local delete=$DELETE_DATA
  if [[ $delete == no && $YES == no ]]; then
    ! agreed "Also delete the memory and the keys in $STATE and $CONFIG? There is no way back." || delete=yes
  fi
  status "removing the service"
  systemctl disable --now --quiet "$UNIT" 2>/dev/null || true
  rm -rf "/etc/systemd/system/$UNIT.service" "/etc/systemd/system/$UNIT.service.d"
  systemctl daemon-reload
  systemctl reset-failed "$UNIT" 2>/dev/null || true
  remove_site
  [[ $FIREWALL == no ]] || close_firewall
  rm -rf /usr/local/bin/orchestrator-vps /var/cache/orchestrator "$APP" "$WEBROOT"
  if [[ $delete == yes ]]; then
    status "deleting the data in $STATE and $CONFIG"
    rm -rf "$STATE" "$STATE".before-upgrade "$STATE".failed-* "$CONFIG"
    if id "$SERVICE_USER" >/dev/null 2>&1; then userdel "$SERVICE_USER"; fi
  else
    note "kept: $STATE (memory), $CONFIG (settings and keys), the user $SERVICE_USER"
    note "a later installation uses them again; to delete them too: deploy_vps.sh --uninstall --delete-data"
  fi
  note "the Debian packages that were installed stay; so do certificates in /etc/letsencrypt"
}

remove_site() {
  rm -f /etc/nginx/sites-enabled/orchestrator-vps{,-http}.conf /etc/nginx/sites-available/orchestrator-vps{,-http}.conf \
    /etc/logrotate.d/orchestrator-vps
  rm -rf /var/log/nginx/orchestrator
  if systemctl is-active --quiet nginx; then systemctl reload nginx; fi
}
