# shellcheck shell=bash
# What the deployment says and asks. Sourced, not run.

status() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
warning() { printf 'warning: %s\n' "$*" >&2; }

# fail MESSAGE [HINT]: end, saying what is wrong and what to do.
fail() {
  printf 'error: %s\n' "$1" >&2
  if [[ -n ${2:-} ]]; then printf '       %s\n' "$2" >&2; fi
  exit 1
}

usage_error() {
  printf 'error: %s\n       ./deploy_vps.sh --help lists the options.\n' "$1" >&2
  exit 2
}

# agreed QUESTION: whether the person says yes. With --yes nobody is asked, and the answer is yes.
agreed() {
  [[ $YES == yes ]] && return 0
  [[ -t 0 ]] || fail "There is nobody to ask: $1" "Give --yes to go on without questions."
  local answer
  read -r -p "$1 [y/N] " answer
  [[ $answer == [yY]* ]]
}
