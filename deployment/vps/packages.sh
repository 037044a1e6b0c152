# shellcheck shell=bash
# Debian packages. Sourced by deploy_vps.sh.

packages() {
  local wanted=(ca-certificates curl libgomp1 openssl "$PYTHON" "$PYTHON-venv") missing=() package
  [[ $FRONT == none ]] || wanted+=(nginx logrotate)
  has_engine_wheel || wanted+=(build-essential)
  [[ -z $DOMAIN || $FRONT == none ]] || wanted+=(certbot)
  for package in "${wanted[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  status "installing packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
  # A fresh machine updates itself in the background; an installation that was killed left packages half done.
  local apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
  dpkg --force-confold --configure -a >/dev/null \
    || fail "dpkg cannot finish what an earlier installation began." "See: dpkg --configure -a"
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null
}
