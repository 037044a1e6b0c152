#!/usr/bin/env bash
# Installs, upgrades and removes the VPS tier on Debian 12/13 and Ubuntu 22.04/24.04.
# The parts are in deployment/vps; docs/vps.md tells the whole story.
# shellcheck disable=SC2034 # the parts use the variables
set -Eeuo pipefail
umask 022

ROOT=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
PARTS=$ROOT/deployment/vps

SERVICE_USER=orchestrator
UNIT=orchestrator-vps
APP=/opt/orchestrator
STATE=/var/lib/orchestrator
CONFIG=/etc/orchestrator
WEBROOT=/var/lib/orchestrator-acme

for part in say settings checks packages firewall model release service nginx proxy backups report uninstall; do
  # shellcheck source=/dev/null
  . "$PARTS/$part.sh"
done

usage() {
  cat <<'END'
Usage: sudo ./deploy_vps.sh [options]

Installs the VPS tier of Orchestrator behind nginx, or upgrades it: the relay to your desktop, and its
own model for when the desktop is away. Run it again at any time; it changes only what differs.
An upgrade that does not answer is undone by itself.

  --domain NAME        public name of this machine; brings a certificate from Let's Encrypt
  --email ADDRESS      where Let's Encrypt may write (with --domain)
  --address ADDRESS    without a domain: the address clients use [this machine's own]
  --new-certificate    make the self-signed certificate anew, for the names of now; desktops enrol again
  --port PORT          HTTPS port [443]; port 80 leads to it
  --app-port PORT      port between nginx and the server, on this machine only [8001]
  --no-nginx | --nginx leave TLS to a web server of yours (Caddy, Apache, ...), and print what it needs
  --model FILE|URL     GGUF model for this tier [builtin: small, knows this project only]
  --sha256 SUM         what the model file must have; needed with a URL
  --cpu | --gpu        build the engine without, or only with CUDA [with, when it is there: --any-device]
  --wheelhouse DIR     Python packages to look for first (a llama-cpp-python wheel saves compiling)
  --firewall | --no-firewall
                       let the ports through ufw or firewalld
  --backups DIR        back up into DIR every night [no backups]
  --keep-backups N     and keep the newest N of them [7]
  --yes                ask nothing

  --rollback           return to the release before
  --uninstall          remove the program; asks before it deletes data
  --delete-data        with --uninstall: delete memory and keys too, also with --yes
  --version, --help

Options that are left out are as they were in the last run; an empty value ('') is the default again.
END
}

version() { sed -n 's/^version = "\(.*\)"$/\1/p' "$ROOT/pyproject.toml"; }

GIVEN=("$@")
ACTION=install YES=no DELETE_DATA=no NEW_CERTIFICATE=no SHA256="" WHEELHOUSE=""
unset DOMAIN EMAIL ADDRESS HTTPS_PORT APP_PORT MODEL DEVICE FIREWALL FRONT BACKUPS KEEP_BACKUPS

read_options() {
  while (($#)); do
    case $1 in
      --domain | --email | --address | --port | --app-port | --model | --sha256 | --wheelhouse | --backups | --keep-backups)
        [[ -n ${2+given} && $2 != --* ]] || usage_error "$1 needs a value." ;;&
      --domain) DOMAIN=$2 && shift ;;
      --email) EMAIL=$2 && shift ;;
      --address) ADDRESS=$2 && shift ;;
      --port) HTTPS_PORT=$2 && shift ;;
      --app-port) APP_PORT=$2 && shift ;;
      --model) MODEL=$2 && shift ;;
      --sha256) SHA256=${2,,} && shift ;;
      --wheelhouse) WHEELHOUSE=$2 && shift ;;
      --backups) BACKUPS=$2 && shift ;;
      --keep-backups) KEEP_BACKUPS=$2 && shift ;;
      --cpu) choose DEVICE cpu "$1" ;;
      --gpu) choose DEVICE cuda "$1" ;;
      --any-device) choose DEVICE auto "$1" ;;
      --nginx) choose FRONT nginx "$1" ;;
      --no-nginx) choose FRONT none "$1" ;;
      --firewall) choose FIREWALL yes "$1" ;;
      --no-firewall) choose FIREWALL no "$1" ;;
      --new-certificate) NEW_CERTIFICATE=yes ;;
      --yes | -y) YES=yes ;;
      --rollback | --uninstall)
        [[ $ACTION == install ]] || usage_error "--rollback and --uninstall exclude each other."
        ACTION=${1#--} ;;
      --delete-data) DELETE_DATA=yes ;;
      --version) echo "deploy_vps.sh $(version)" && exit 0 ;;
      --help | -h) usage && exit 0 ;;
      *) usage_error "$1 is not an option." ;;
    esac
    shift
  done
  [[ $DELETE_DATA == no || $ACTION == uninstall ]] || usage_error "--delete-data belongs to --uninstall."
}

# choose NAME VALUE OPTION: options that exclude each other.
choose() {
  [[ ${!1:-$2} == "$2" ]] || usage_error "$3 and an option before it exclude each other."
  printf -v "$1" %s "$2"
}

check_needs() {
  check_user
  check_model
  check_space
  check_ports
}

service_user() {
  id "$SERVICE_USER" >/dev/null 2>&1 && return 0
  status "making the system user $SERVICE_USER"
  useradd --system --user-group --home-dir "$STATE" --no-create-home --shell /usr/sbin/nologin "$SERVICE_USER"
}

install_all() {
  agreed "Install Orchestrator $(version) on this machine, to answer at $(public_url)?" || exit 1
  packages
  service_user
  install -d -m 0755 "$APP" "$APP/releases"
  install -d -m 0750 -o "$SERVICE_USER" -g "$SERVICE_USER" "$STATE"
  install_settings
  install_model
  prepare_release
  write_options
  activate
  install_backups
  if [[ $FRONT == nginx ]]; then install_site; else remove_site; fi
  if [[ $FIREWALL == yes ]]; then open_firewall; elif [[ -n $OPENED_PORT ]]; then close_firewall "$OPENED_PORT"; fi
  remember_firewall
  remove_old_releases
  [[ $FRONT == none ]] || check_front
  report
}

main() {
  read_options "$@"
  check_machine
  # One at a time: two would build on each other's half-made releases.
  exec 9>/run/orchestrator-deploy.lock
  flock -n 9 || fail "Another deployment is running on this machine."
  recall_options
  [[ $ACTION != install ]] || check_options
  case $ACTION in
    install)
      check_needs
      install_all ;;
    rollback)
      roll_back ;;
    uninstall) uninstall ;;
  esac
}

trap 'echo "error: a step failed (line $LINENO of ${BASH_SOURCE[0]}); run the same command again" >&2' ERR
main "$@"
