# shellcheck shell=bash
# Rules for the two public ports. Never enables a firewall: a rule for SSH may be missing.
# Sourced by deploy_vps.sh.

# The firewall of this machine; fails when there is none.
firewall_kind() {
  if command -v firewall-cmd >/dev/null && systemctl is-active --quiet firewalld; then
    echo firewalld
  elif command -v ufw >/dev/null; then
    echo ufw
  else
    return 1
  fi
}

# Kept apart from the options: it is true only once the rules are made.
remember_firewall() {
  if [[ $FIREWALL == yes ]]; then echo "$HTTPS_PORT" >"$CONFIG/opened-port"; else rm -f "$CONFIG/opened-port"; fi
}

open_firewall() {
  local port
  for port in 80 "$HTTPS_PORT"; do
    case $(firewall_kind) in
      firewalld) firewall-cmd --quiet --permanent --add-port="$port/tcp" ;;
      ufw) ufw allow "$port/tcp" comment orchestrator-vps >/dev/null ;;
    esac
  done
  [[ -z $OPENED_PORT || $OPENED_PORT == "$HTTPS_PORT" ]] || close_port "$OPENED_PORT"
  case $(firewall_kind) in
    firewalld) firewall-cmd --quiet --reload ;;
    ufw)
      ufw status | grep -q "Status: active" \
        || warning "ufw has the rules but is not active; allow SSH first (ufw allow OpenSSH), then: ufw enable" ;;
  esac
  status "the firewall lets the ports 80 and $HTTPS_PORT through"
}

# close_firewall PORT: what `open_firewall` opened for this HTTPS port.
close_firewall() {
  close_port 80
  close_port "$1"
  [[ $(firewall_kind || true) != firewalld ]] || firewall-cmd --quiet --reload
}

close_port() {
  case $(firewall_kind || true) in
    firewalld) firewall-cmd --quiet --permanent --remove-port="$1/tcp" || true ;;
    ufw) ufw --force delete allow "$1/tcp" >/dev/null || true ;;
  esac
}
