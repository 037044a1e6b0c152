# shellcheck shell=bash
# Removing what deploy_vps.sh installed. Sourced by it.

uninstall() {
  agreed "Stop the service and remove the program from this machine?" || exit 1
  local delete=$DELETE_DATA
  if [[ $delete == no && $YES == no ]]; then
    ! agreed "Also delete the memory, its backups and the keys in $STATE, $BACKUPS and $CONFIG? There is no way back." || delete=yes
  fi
  finish_restoring
  status "removing the service"
  systemctl disable --now --quiet "$UNIT" 2>/dev/null || true
  rm -rf "/etc/systemd/system/$UNIT.service" "/etc/systemd/system/$UNIT.service.d"
  systemctl daemon-reload
  systemctl reset-failed "$UNIT" 2>/dev/null || true
  remove_backups
  remove_site
  [[ -z $OPENED_PORT ]] || close_firewall "$OPENED_PORT"
  rm -rf /usr/local/bin/orchestrator-vps /var/cache/orchestrator "$APP"
  if [[ $delete == yes ]]; then
    # Beside it: copies from before upgrades and restores, and of upgrades that failed.
    status "deleting the data in $STATE, its copies and backups beside it, $BACKUPS and $CONFIG"
    rm -rf "$STATE" "$STATE".* "$STATE-backups" ${BACKUPS:+"$BACKUPS"} "$CONFIG"
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
  rm -rf /var/log/nginx/orchestrator "$WEBROOT"
  if systemctl is-active --quiet nginx; then systemctl reload nginx || warning "nginx could not be reloaded"; fi
}
