# shellcheck shell=bash
# Nightly backups by a systemd timer. Sourced by deploy_vps.sh.

BACKUP_UNIT=orchestrator-vps-backup

install_backups() {
  local unit
  if [[ -z $BACKUPS ]]; then
    remove_backups
    return 0
  fi
  install -d -m 0700 -o "$SERVICE_USER" -g "$SERVICE_USER" "$BACKUPS"
  for unit in service timer; do
    sed -e "s|@BACKUPS@|$BACKUPS|; s|@KEEP@|$KEEP_BACKUPS|" "$RELEASE/deployment/systemd/$BACKUP_UNIT.$unit" \
      >"/etc/systemd/system/$BACKUP_UNIT.$unit.new"
    mv "/etc/systemd/system/$BACKUP_UNIT.$unit.new" "/etc/systemd/system/$BACKUP_UNIT.$unit"
  done
  systemctl daemon-reload
  systemctl enable --quiet --now "$BACKUP_UNIT.timer"
}

remove_backups() {
  [[ -e /etc/systemd/system/$BACKUP_UNIT.timer ]] || return 0
  systemctl disable --quiet --now "$BACKUP_UNIT.timer" || true
  rm -f "/etc/systemd/system/$BACKUP_UNIT".{service,timer} "/var/lib/systemd/timers/stamp-$BACKUP_UNIT.timer"
  systemctl daemon-reload
}
