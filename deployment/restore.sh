#!/usr/bin/env bash
# Puts a backup back; stop the server first. Options as `orchestrator restore --help` says.
#     deployment/restore.sh /mnt/usb/backups/orchestrator-backup-....tar.gz
set -euo pipefail
# shellcheck source=deployment/find_orchestrator.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/find_orchestrator.sh"
orchestrator="$(find_orchestrator)"
exec "$orchestrator" restore "$@"
