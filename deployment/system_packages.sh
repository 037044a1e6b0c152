#!/usr/bin/env bash
# Installs the Debian packages the tests need. As root it installs what is missing;
# otherwise it says what to install and goes on.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # where some of them are, for those who do not have it

# command:package
needed=(
  avahi-browse:avahi-utils
  avahi-daemon:avahi-daemon
  dbus-daemon:dbus
  g++:build-essential
  make:build-essential
  chromium:chromium
  curl:curl
  debootstrap:debootstrap
  git:git
  ip:iproute2
  nginx:nginx
  nano:nano
  nft:nftables
  node:nodejs
  npm:npm
  openssl:openssl
  ps:procps
  shellcheck:shellcheck
  sqlite3:sqlite3
  systemd-analyze:systemd
  systemd-nspawn:systemd-container
  vim:vim
)

missing=()
for entry in "${needed[@]}"; do
  command -v "${entry%%:*}" >/dev/null || missing+=("${entry#*:}")
done
((${#missing[@]})) || exit 0

if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
  echo "note: the tests need more programs; on Debian: sudo apt-get install ${missing[*]}"
  exit 0
fi

echo "==> installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
