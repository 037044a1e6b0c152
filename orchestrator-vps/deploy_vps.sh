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

for part in say settings checks firewall model release service nginx report uninstall; do
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
  --port PORT          HTTPS port [443]; port 80 leads to it
  --app-port PORT      port between nginx and the server, on this machine only [8001]
  --model FILE|URL     GGUF model for this tier [builtin: small, knows this project only]
  --sha256 SUM         what the model file must have; needed with a URL
  --cpu | --gpu        build the engine without, or only with CUDA [with, when it is there]
  --wheelhouse DIR     Python packages to look for first (a llama-cpp-python wheel saves compiling)
  --firewall           let the ports through ufw or firewalld
  --yes                ask nothing

  --rollback           return to the release before
  --uninstall          remove the program; asks before it deletes data
  --delete-data        with --uninstall: delete memory and keys too, also with --yes
  --version, --help

Options that are left out are as they were in the last run.
END
}

version() { sed -n 's/^version = "\(.*\)"$/\1/p' "$ROOT/pyproject.toml"; }

GIVEN=("$@")
ACTION=install YES=no DELETE_DATA=no SHA256="" WHEELHOUSE=""
DOMAIN="" EMAIL="" ADDRESS="" HTTPS_PORT="" APP_PORT="" MODEL="" DEVICE="" FIREWALL=""

read_options() {
  while (($#)); do
    case $1 in
      --domain | --email | --address | --port | --app-port | --model | --sha256 | --wheelhouse)
        [[ -n ${2:-} && $2 != --* ]] || usage_error "$1 needs a value." ;;&
      --domain) DOMAIN=$2 && shift ;;
      --email) EMAIL=$2 && shift ;;
      --address) ADDRESS=$2 && shift ;;
      --port) HTTPS_PORT=$2 && shift ;;
      --app-port) APP_PORT=$2 && shift ;;
      --model) MODEL=$2 && shift ;;
      --sha256) SHA256=${2,,} && shift ;;
      --wheelhouse) WHEELHOUSE=$2 && shift ;;
      --cpu) [[ $DEVICE != cuda ]] || usage_error "--cpu and --gpu exclude each other." && DEVICE=cpu ;;
      --gpu) [[ $DEVICE != cpu ]] || usage_error "--cpu and --gpu exclude each other." && DEVICE=cuda ;;
      --firewall) FIREWALL=yes ;;
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

check_needs() {
  check_options
  check_user
  check_model
  check_space
  check_ports
}

packages() {
  local wanted=(ca-certificates curl libgomp1 logrotate nginx openssl "$PYTHON" "$PYTHON-venv") missing=() package
  has_engine_wheel || wanted+=(build-essential)
  [[ -z $DOMAIN ]] || wanted+=(certbot)
  for package in "${wanted[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  status "installing packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
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
  install_site
  [[ $FIREWALL == no ]] || open_firewall
  remove_old_releases
  check_front
  report
}

main() {
  read_options "$@"
  check_machine
  # One at a time: two would build on each other's half-made releases.
  exec 9>/run/orchestrator-deploy.lock
  flock -n 9 || fail "Another deployment is running on this machine."
  recall_options
  case $ACTION in
    install)
      check_needs
      install_all ;;
    rollback)
      roll_back
      status "$(basename "$(pointed_at current)") runs again" ;;
    uninstall) uninstall ;;
  esac
}

trap 'echo "error: a step failed (line $LINENO of ${BASH_SOURCE[0]}); run the same command again" >&2' ERR
main "$@"
