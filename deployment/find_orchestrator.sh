# shellcheck shell=bash
# Sourced: where the `orchestrator` command of this installation is.

# Prints it: $ORCHESTRATOR_COMMAND, the one installed beside this folder, or the one on the PATH.
find_orchestrator() {
  local root own
  root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
  for own in "${ORCHESTRATOR_COMMAND:-}" "$root/.venv/bin/orchestrator" "$root/venv/bin/orchestrator"; do
    [[ -e "$own" ]] || continue
    if ! "$own" --version >/dev/null 2>&1; then
      echo "error: $own does not run. Usually its Python was upgraded or removed, or the folder was moved." >&2
      echo "       Run: $(printf %q "$root/deployment/deploy_local.sh")" >&2
      return 1
    fi
    printf '%s\n' "$own"
    return
  done
  if ! command -v orchestrator; then
    echo "error: the orchestrator command is not installed here." >&2
    echo "       Run: $(printf %q "$root/deployment/deploy_local.sh")   or name it in ORCHESTRATOR_COMMAND." >&2
    return 1
  fi
}
