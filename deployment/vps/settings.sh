# shellcheck shell=bash
# shellcheck disable=SC2034 # the parts share their variables
# What is kept in /etc/orchestrator: the options of the last run, the API key, vps.yaml.
# Sourced by deploy_vps.sh.

# An option that is not given now is what it was last time.
recall_options() {
  recall HTTPS_PORT DEPLOY_PORT 443
  recall APP_PORT ORCHESTRATOR_PORT 8001
  recall DOMAIN DEPLOY_DOMAIN
  DOMAIN=${DOMAIN,,}
  recall ADDRESS DEPLOY_ADDRESS
  ADDRESS_OPTION=$ADDRESS
  ADDRESS=${ADDRESS:-$(own_address)}
  recall EMAIL DEPLOY_EMAIL
  recall MODEL ORCHESTRATOR_MODEL builtin
  recall DEVICE DEPLOY_DEVICE auto
  recall FRONT DEPLOY_FRONT nginx
  recall FIREWALL DEPLOY_FIREWALL no
  recall BACKUPS DEPLOY_BACKUPS
  recall KEEP_BACKUPS DEPLOY_KEEP_BACKUPS 7
  # The HTTPS port for which an earlier run made a rule.
  OPENED_PORT=""
  if [[ -r $CONFIG/opened-port ]]; then
    OPENED_PORT=$(<"$CONFIG/opened-port")
  elif grep -qs '^DEPLOY_FIREWALL=yes' "$CONFIG/deployment.env"; then
    OPENED_PORT=$(sed -n 's/^DEPLOY_PORT=//p' "$CONFIG/deployment.env")
  fi
}

# recall VARIABLE NAME [DEFAULT]: where the option was not given; the default where it was given empty, too.
recall() {
  local value=${!1-$(sed -n "s/^$2=//p" "$CONFIG/deployment.env" 2>/dev/null || true)}
  printf -v "$1" %s "${value:-${3:-}}"
}

# Read by this script and by the unit; a name the server does not know does not reach it.
write_options() {
  cat >"$CONFIG/deployment.env.new" <<END
# Written by deploy_vps.sh from its options; run it again to change them.
ORCHESTRATOR_MODEL=$MODEL
ORCHESTRATOR_PORT=$APP_PORT
ORCHESTRATOR_ALLOWED_HOSTS=$(server_names ,)
DEPLOY_DOMAIN=$DOMAIN
DEPLOY_ADDRESS=$ADDRESS_OPTION
DEPLOY_EMAIL=$EMAIL
DEPLOY_PORT=$HTTPS_PORT
DEPLOY_DEVICE=$DEVICE
DEPLOY_FRONT=$FRONT
DEPLOY_FIREWALL=$FIREWALL
DEPLOY_BACKUPS=$BACKUPS
DEPLOY_KEEP_BACKUPS=$KEEP_BACKUPS
END
  chgrp "$SERVICE_USER" "$CONFIG/deployment.env.new"
  chmod 0640 "$CONFIG/deployment.env.new"
}

install_settings() {
  install -d -m 0750 -g "$SERVICE_USER" "$CONFIG"
  if [[ ! -e $CONFIG/vps.yaml ]]; then
    install -m 0640 -g "$SERVICE_USER" "$PARTS/vps.yaml" "$CONFIG/vps.yaml.new"
    mv "$CONFIG/vps.yaml.new" "$CONFIG/vps.yaml"
  fi
  if [[ ! -s $CONFIG/secrets.env ]]; then
    status "making the API key for your clients"
    (umask 077 && printf 'ORCHESTRATOR_API_KEY=%s\n' "$(openssl rand -base64 33 | tr '+/' '-_')" \
      >"$CONFIG/secrets.env.new")
    mv "$CONFIG/secrets.env.new" "$CONFIG/secrets.env"
  fi
  chown root:root "$CONFIG/secrets.env"
  chmod 0600 "$CONFIG/secrets.env"
}

# server_names SEPARATOR: every name and address clients may use.
server_names() {
  local names=() name
  for name in "$DOMAIN" "$ADDRESS" "$(hostname)"; do
    if is_address "$name" && [[ " ${names[*]} " != *" $name "* ]]; then names+=("$name"); fi
  done
  local IFS=$1
  printf '%s' "${names[*]}"
}

# The address of the interface that leads out. Behind a provider's NAT it is not the public one:
# then --address says it.
own_address() {
  local found
  found=$(hostname -I 2>/dev/null | awk '{ print $1 }')
  printf '%s' "${found:-127.0.0.1}"
}

# What clients call this server.
public_url() {
  local host=${DOMAIN:-$ADDRESS}
  [[ $host != *:* ]] || host="[$host]"
  [[ $HTTPS_PORT == 443 ]] || host+=":$HTTPS_PORT"
  printf 'https://%s' "$host"
}

LABEL='[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?'

# is_address TEXT: an IPv4 or IPv6 address, or a host name.
is_address() {
  local group='[0-9A-Fa-f]{1,4}' byte='(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])'
  [[ $1 =~ ^($LABEL\.)*[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$ || $1 =~ ^($byte\.){3}$byte$ ]] && return 0
  [[ $1 =~ ^($group:){7}$group$ || ($1 == *::* && $1 != *::*::* && $1 =~ ^($group(:$group){0,6})?::($group(:$group){0,6})?$) ]]
}
