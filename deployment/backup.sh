#!/usr/bin/env bash
# Writes a backup, also while the server runs; options as `orchestrator backup --help` says.
#     deployment/backup.sh --to /mnt/usb/backups --keep 7
set -euo pipefail
# shellcheck source=deployment/find_orchestrator.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/find_orchestrator.sh"
orchestrator="$(find_orchestrator)"
exec "$orchestrator" backup "$@"
