# shellcheck shell=bash
# shellcheck disable=SC2034 # the parts share their variables
# What is kept in /etc/orchestrator: the options of the last run, the API key, vps.yaml.
# Sourced by deploy_vps.sh.

# An option that is not given now is what it was last time.
recall_options() {
  HTTPS_PORT=${HTTPS_PORT:-$(remembered DEPLOY_PORT 443)}
  APP_PORT=${APP_PORT:-$(remembered ORCHESTRATOR_PORT 8001)}
  DOMAIN=${DOMAIN:-$(remembered DEPLOY_DOMAIN '')}
  DOMAIN=${DOMAIN,,}
  ADDRESS_OPTION=${ADDRESS:-$(remembered DEPLOY_ADDRESS '')}
  ADDRESS=${ADDRESS_OPTION:-$(own_address)}
  EMAIL=${EMAIL:-$(remembered DEPLOY_EMAIL '')}
  MODEL=${MODEL:-$(remembered ORCHESTRATOR_MODEL builtin)}
  DEVICE=${DEVICE:-$(remembered DEPLOY_DEVICE auto)}
  FIREWALL=${FIREWALL:-$(remembered DEPLOY_FIREWALL no)}
  # The HTTPS port for which the last run made a rule.
  OPENED_PORT=""
  [[ $(remembered DEPLOY_FIREWALL no) == no ]] || OPENED_PORT=$(remembered DEPLOY_PORT 443)
}

remembered() {
  local value=""
  [[ ! -r $CONFIG/deployment.env ]] || value=$(sed -n "s/^$1=//p" "$CONFIG/deployment.env")
  printf '%s' "${value:-$2}"
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
DEPLOY_FIREWALL=$FIREWALL
END
  chgrp "$SERVICE_USER" "$CONFIG/deployment.env.new"
  chmod 0640 "$CONFIG/deployment.env.new"
}

install_settings() {
  install -d -m 0750 -g "$SERVICE_USER" "$CONFIG"
  if [[ ! -e $CONFIG/vps.yaml ]]; then
    install -m 0640 -g "$SERVICE_USER" "$PARTS/vps.yaml" "$CONFIG/vps.yaml"
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
    [[ -z $name || " ${names[*]} " == *" $name "* ]] || names+=("$name")
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
