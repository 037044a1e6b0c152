# shellcheck shell=bash
# What test_interrupted_switch.py runs: the real switching of releases, on folders below $T, with a service that is
# played. A release says which format of the data it writes (`format`) and whether it answers (`well`).
# shellcheck disable=SC1090,SC2034
set -Eeuo pipefail
ROOT=$1 T=$2 COMMAND=$3 KILL_AT=${4:-0}
APP=$T/app STATE=$T/state CONFIG=$T/etc UNIT=orchestrator-vps YES=yes
for part in say settings release service; do . "$ROOT/deployment/vps/$part.sh"; done

journalctl() { :; }
install_site() { :; }
install_release() { point current "$1"; }
unchanged() { cmp -s "$CONFIG/deployment.env.new" "$CONFIG/deployment.env"; }
answers() { [[ -e $T/running && $(<"$APP/current/well") == yes ]]; }
systemctl() {
  case $* in
    *is-active*) [[ -e $T/running ]] ;;
    *start*) played_start ;;
    *stop* | *disable*) rm -f "$T/running" ;;
  esac
}

# A release brings an older format of the data up to its own, and refuses a newer one. What it said lasts.
played_start() {
  local own format
  own=$(<"$APP/current/format")
  format=$(sed -n 1p "$STATE/memory.db" 2>/dev/null || echo 0)
  ((format <= own)) || return 1
  { echo "$own"; sed 1d "$STATE/memory.db" 2>/dev/null || true; echo "said by format $own"; } >"$T/memory.new"
  mv "$T/memory.new" "$STATE/memory.db"
  touch "$T/running"
}

step=0
reached() {
  case $BASH_COMMAND in
    mv* | rm* | cp* | ln* | install* | printf*switch* | find* | touch*) ;;
    *) return 0 ;;
  esac
  ((++step == KILL_AT)) || { echo $step >"$T/steps"; return 0; }
  kill -KILL $$
}
set -o functrace
trap reached DEBUG

RELEASE=$APP/releases/new
case $COMMAND in
  install)
    echo "SETTING=new" >"$CONFIG/deployment.env.new"
    activate ;;
  rollback) roll_back ;;
esac
