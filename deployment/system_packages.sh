#!/usr/bin/env bash
# Installs the Debian packages the tests need. As root it installs what is missing;
# otherwise it says what to install and goes on.
set -euo pipefail

packages=(build-essential chromium curl git procps shellcheck sqlite3)

command -v dpkg-query >/dev/null || {
  echo "note: not a Debian system; the tests need: ${packages[*]}"
  exit 0
}

missing=()
for package in "${packages[@]}"; do
  state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $state == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

if ((EUID != 0)); then
  echo "note: the tests need more packages: sudo apt-get install ${missing[*]}"
  exit 0
fi

echo "==> installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
