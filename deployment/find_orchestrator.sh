# shellcheck shell=bash
# Sourced: where the `orchestrator` command of this installation is.

# Prints it: $ORCHESTRATOR_COMMAND, this checkout's own, or the one on the PATH.
find_orchestrator() {
  local own
  own="$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.venv/bin/orchestrator"
  if [[ -n "${ORCHESTRATOR_COMMAND:-}" ]]; then
    printf '%s\n' "$ORCHESTRATOR_COMMAND"
  elif [[ -x "$own" ]]; then
    readlink -f "$own"
  elif ! command -v orchestrator; then
    echo "error: the orchestrator command is not installed here." >&2
    echo "       Run deployment/deploy_local.sh, or name it in ORCHESTRATOR_COMMAND." >&2
    return 1
  fi
}
