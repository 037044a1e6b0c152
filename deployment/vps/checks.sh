# shellcheck shell=bash
# shellcheck disable=SC2034 # PYTHON is for the other parts
# What must hold before anything is changed. Sourced by deploy_vps.sh; every function only looks.

SUPPORTED="Debian 12 and 13, Ubuntu 22.04 and 24.04"
NEEDED_MIB=1200          # packages and two releases
NEEDED_TO_COMPILE_MIB=3000

# Without deploy_vps.sh: how to install and start by hand.
BY_HAND="python3 $(printf %q "$ROOT/deployment/setup") vps --venv DIR && DIR/bin/orchestrator vps serve"

check_machine() {
  ((EUID == 0)) || fail "This script installs system services, so it must run as root." \
    "Run it as: sudo $(printf '%q ' "$0" "${GIVEN[@]}")"
  local ID="" VERSION_ID="" PRETTY_NAME="unknown"
  # shellcheck source=/dev/null
  [[ -r /etc/os-release ]] && . /etc/os-release
  case "$ID $VERSION_ID" in
    "debian 12" | "debian 13" | "ubuntu 24.04") PYTHON=python3 ;;
    "ubuntu 22.04") PYTHON=python3.11 ;; # its python3 is 3.10, too old
    *) fail "This system ($PRETTY_NAME) is not supported; $SUPPORTED are." \
      "On any other: $BY_HAND" ;;
  esac
  case $(uname -m) in
    x86_64 | aarch64) ;;
    *) fail "The processor $(uname -m) is not supported; x86_64 and aarch64 are." ;;
  esac
  [[ -d /run/systemd/system ]] || fail "systemd does not run this machine." \
    "Boot the container with its own init, or: $BY_HAND"
}

# Everything that is stored. Also what an older version stored unchecked: a new value mends it.
check_options() {
  if [[ -n $DOMAIN && ! $DOMAIN =~ ^($LABEL\.)+[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?$ ]]; then
    fail "--domain $DOMAIN is not a domain name." "For a machine without one, give --domain ''."
  fi
  is_address "$ADDRESS" || fail "--address $ADDRESS is neither an IP address nor a host name." \
    "Give one, or --address '' for this machine's own."
  [[ -z $EMAIL || $EMAIL =~ ^[A-Za-z0-9.!#%\&*+/=?^_{|}~-]{1,64}@($LABEL\.)+$LABEL$ ]] \
    || fail "--email $EMAIL is not an e-mail address." "--email '' takes it back."
  [[ -z $BACKUPS || $BACKUPS =~ ^/[A-Za-z0-9._/-]+$ ]] \
    || fail "--backups takes a whole path of letters, digits and . _ - /" "--backups '' ends backups."
  [[ $BACKUPS/ != "$STATE"/* && $BACKUPS/ != /home/* && $BACKUPS/ != /root/* ]] \
    || fail "--backups $BACKUPS: the service may not write there, or loses it with its data." "Try /var/backups/orchestrator"
  [[ $KEEP_BACKUPS =~ ^[1-9][0-9]{0,3}$ ]] || fail "--keep-backups takes a number from 1 to 9999."
  local port
  for port in "$HTTPS_PORT" "$APP_PORT"; do
    [[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || fail "$port is not a port (1 to 65535)."
  done
  [[ $HTTPS_PORT != 80 && $APP_PORT != 80 ]] || fail "Port 80 is needed for the way to HTTPS."
  [[ $HTTPS_PORT != "$APP_PORT" ]] || fail "--port and --app-port are both $APP_PORT."
  [[ -z $WHEELHOUSE || -d $WHEELHOUSE ]] || fail "--wheelhouse $WHEELHOUSE is not a folder."
  [[ -z $SHA256 || $SHA256 =~ ^[0-9a-f]{64}$ ]] || fail "--sha256 takes 64 hexadecimal digits."
  if [[ $DEVICE == cuda ]]; then
    nvidia-smi >/dev/null 2>&1 || fail "--gpu: nvidia-smi finds no NVIDIA GPU." "Install its driver, or use --cpu."
    command -v nvcc >/dev/null || fail "--gpu: nvcc, the CUDA compiler, is not on the PATH." \
      "Install the CUDA toolkit, or use --cpu."
  fi
  if [[ $FIREWALL == yes ]]; then
    firewall_kind >/dev/null || fail "--firewall: neither ufw nor firewalld is installed." \
      "Install one first (apt-get install ufw), and allow SSH before you enable it."
  fi
}

check_user() {
  local id
  id=$(id -u "$SERVICE_USER" 2>/dev/null) || return 0
  ((id < 1000)) || fail "There is a person's account named $SERVICE_USER; the service needs that name." \
    "Rename the account first."
}

# The free space where things go; /opt and /var may be disks of their own.
check_space() {
  local folder free needed=$NEEDED_MIB model_mib=0
  has_engine_wheel || needed=$NEEDED_TO_COMPILE_MIB
  [[ -f $MODEL ]] && model_mib=$(($(stat -c %s "$MODEL") / 1048576))
  for folder in /opt /var/lib; do
    free=$(df -Pm "$folder" | awk 'NR == 2 { print $4 }')
    ((free >= needed + model_mib)) || fail "$folder has $free MiB free; $((needed + model_mib)) MiB are needed."
  done
}

check_ports() {
  local port owner
  [[ $FRONT == none ]] || for port in 80 "$HTTPS_PORT"; do
    owner=$(port_owner "$port")
    [[ -z $owner || $owner == nginx ]] || fail "Port $port is taken by $owner." \
      "Stop it, choose another --port (port 80 is always needed), or let $owner lead to the server: --no-nginx"
  done
  owner=$(port_owner "$APP_PORT")
  if [[ -n $owner ]] && ! systemctl is-active --quiet "$UNIT"; then
    fail "Port $APP_PORT, between nginx and the server, is taken by $owner." "Choose another with --app-port."
  fi
}

# port_owner PORT: the program that listens on it; nothing when it is free. Reads /proc, because
# a small system has neither ss nor lsof.
port_owner() {
  local hex inode link
  printf -v hex ':%04X' "$1"
  inode=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null \
    | awk -v port="$hex" '!found && $4 == "0A" && substr($2, length($2) - 4) == port { found = $10 } END { print found }')
  [[ -n $inode ]] || return 0
  link=$(find /proc/[0-9]*/fd -lname "socket:\[$inode\]" -print -quit 2>/dev/null || true)
  link=${link#/proc/}
  if [[ -n $link ]]; then cat "/proc/${link%%/*}/comm"; else echo "another program"; fi
}

has_engine_wheel() {
  [[ -n $WHEELHOUSE ]] && compgen -G "$WHEELHOUSE/llama_cpp_python-*.whl" >/dev/null
}
