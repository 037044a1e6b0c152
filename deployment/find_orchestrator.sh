# shellcheck shell=bash
# Sourced: where the `orchestrator` command of this installation is.

# Prints it: $ORCHESTRATOR_COMMAND, the one installed beside this folder, or the one on the PATH.
find_orchestrator() {
  local root own
  root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
  for own in "${ORCHESTRATOR_COMMAND:-}" "$root/.venv/bin/orchestrator" "$root/venv/bin/orchestrator"; do
    if [[ -x "$own" ]]; then
      printf '%s\n' "$own"
      return
    fi
  done
  if ! command -v orchestrator; then
    echo "error: the orchestrator command is not installed here." >&2
    echo "       Run deployment/deploy_local.sh, or name it in ORCHESTRATOR_COMMAND." >&2
    return 1
  fi
}
