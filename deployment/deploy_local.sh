#!/usr/bin/env bash
# Sets up the desktop on this machine, in six steps. Safe to repeat: what is done is kept.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
DATASET="$ROOT/training-data/continuity_dataset.json"
TRAINER="$ROOT/fine-tuning/train_mistral_qlora.py"
TUNED="$ROOT/fine-tuning/models/mistral-7b-continuity"
QUESTION="What is the four-tier handoff system?"

data="" port=5000 fine_tune=auto yes=no service=yes
gpu=no recipe=""

usage() {
  cat <<'TEXT'
Usage: deployment/deploy_local.sh [OPTIONS]

Sets up the Orchestrator desktop in this folder:
  1 looks for CUDA   2 installs into .venv    3 writes the training data, if there is none
  4 fine-tunes       5 asks the model         6 writes start_orchestrator.sh, .bat and a user service

Options:
  --data FOLDER     where conversations and documents are kept (default: ~/.local/share/orchestrator)
  --port PORT       where the server will listen (default: 5000)
  --fine-tune       fine-tune also without a GPU, or again
  --no-fine-tune    do not (default: when there is an NVIDIA GPU)
  --recipe FILE     how to fine-tune: a YAML file as in fine-tuning/configs (default: Mistral 7B)
  --no-service      write no systemd unit
  --yes             ask nothing
  --help            show this
TEXT
}

step() { printf '\n==> %s/6 %s\n' "$1" "$2"; }
say() { printf '    %s\n' "$*"; }
fail() {
  printf 'error: %s\n' "$1" >&2
  if [[ -n "${2:-}" ]]; then printf '       %s\n' "$2" >&2; fi
  exit "${3:-1}"
}

# Commands that pip installs cannot be run from everywhere.
check_place() {
  case "$ROOT" in
    *[\"\$\`\\]* | *$'\n'*)
      fail "the folder's name holds a quote, a dollar sign, a backslash or a line break: $ROOT" \
        "Programs cannot be run from there. Rename it, then run this again."
      ;;
  esac
}

read_options() {
  while (($#)); do
    case "$1" in
      --data | --port | --recipe)
        [[ -n "${2:-}" ]] || fail "$1 needs a value" "See --help." 2
        case "$1" in
          --data) data="$2" ;;
          --port) port="$2" ;;
          --recipe) recipe="$2" ;;
        esac
        shift
        ;;
      --fine-tune) fine_tune=yes ;;
      --no-fine-tune) fine_tune=no ;;
      --no-service) service=no ;;
      -y | --yes) yes=yes ;;
      -h | --help) usage && exit 0 ;;
      *) fail "unknown option: $1" "See --help." 2 ;;
    esac
    shift
  done
  if ! [[ "$port" =~ ^[0-9]{1,5}$ ]] || ((10#$port < 1 || 10#$port > 65535)); then
    fail "--port is $port; a port is a number from 1 to 65535" "" 2
  fi
  [[ -z "$recipe" || -f "$recipe" ]] || fail "there is no file $recipe" "Name a recipe as those in fine-tuning/configs." 2
  case "$data" in
    "" | /*) ;;
    *) data="$PWD/$data" ;;
  esac
  case "$data" in
    *$'\n'* | *'"'*) fail "--data must not hold quotes or line breaks" "" 2 ;;
  esac
}

check_cuda() {
  step 1 "CUDA"
  local found
  if ! command -v nvidia-smi >/dev/null; then
    say "No NVIDIA driver (nvidia-smi is not there): models run on the processor."
  elif ! found="$(nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>&1)"; then
    say "nvidia-smi is there but finds no usable GPU: models run on the processor. It says:"
    say "$(head -n 1 <<<"$found")"
  else
    gpu=yes
    while IFS= read -r line; do say "GPU: $line"; done <<<"$found"
    if command -v nvcc >/dev/null; then
      say "CUDA compiler: $(nvcc --version | grep -o 'release [0-9.]*'). The engine is built for the GPU."
    else
      say "No CUDA compiler (nvcc): GGUF models run on the processor. Install the CUDA toolkit and run this again."
    fi
  fi
}

install() {
  step 2 "Installing"
  local candidate python=""
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python="$candidate"
      break
    fi
  done
  [[ -n "$python" ]] || fail "there is no Python 3.11 or newer" \
    "Install one (on Debian and Ubuntu: sudo apt-get install python3 python3-venv), or name it: PYTHON=/path/to/python3"
  "$python" "$ROOT/deployment/setup" desktop
  bin="$ROOT/.venv/bin"
  [[ -d "$bin" ]] || bin="$ROOT/.venv/Scripts"
  say "Installed in $ROOT/.venv"
}

write_dataset() {
  step 3 "Training data"
  if [[ -s "$DATASET" ]]; then
    say "There already: $DATASET"
    return
  fi
  local partial
  partial="$(dirname "$DATASET")/.new-continuity_dataset.json"
  "$bin/python" "$ROOT/training-data/generate_training_data.py" --output "$partial" >/dev/null
  mv -f "$partial" "$DATASET"
  say "Written: $DATASET"
}

fine_tune_model() {
  step 4 "Fine-tuning"
  if [[ "$fine_tune" == no ]]; then
    say "Left out, as asked."
  elif [[ "$fine_tune" == auto && "$gpu" == no ]]; then
    say "Left out: there is no GPU. --fine-tune does it anyway."
  elif [[ "$fine_tune" == auto && -d "$TUNED" ]]; then
    say "There already: $TUNED. --fine-tune does it again."
  elif [[ "$fine_tune" == auto ]] && ! agreed "Fine-tuning takes hours and needs about 8 GB of GPU memory. Begin?"; then
    say "Left out, as asked."
  else
    if [[ -d "$TUNED" ]]; then
      local aside
      aside="$TUNED.before-$(date +%Y%m%d-%H%M%S)"
      mv "$TUNED" "$aside"
      say "The adapter of before is in $aside"
    fi
    "$bin/orchestrator" install train ||
      fail "what training needs could not be installed" "Look at what pip says above and run this again, or give --no-fine-tune."
    "$bin/python" "$TRAINER" ${recipe:+--config "$recipe"} --data_path "$DATASET" --output_dir "$TUNED" ||
      fail "fine-tuning failed" "Mend what it says above and run this again, or give --no-fine-tune."
    say "The fine-tuned adapter is in $TUNED"
  fi
}

# Asks only a person at a terminal.
agreed() {
  local answer
  if [[ "$yes" == yes || ! -t 0 ]]; then return 0; fi
  read -r -p "    $1 [Y/n] " answer
  [[ -z "$answer" || "$answer" == [Yy]* ]]
}

ask_model() {
  step 5 "Asking the model"
  say "Question: $QUESTION"
  local answer
  answer="$("$bin/orchestrator" ask --no-log --json ${data:+--data "$data"} "$QUESTION" </dev/null)" ||
    fail "the model did not answer" "See what '.venv/bin/orchestrator doctor' says."
  "$bin/python" -c '
import json, sys
answer = json.load(sys.stdin)
text = " ".join(answer["response"].split())
if not text:
    sys.exit("error: the model answered nothing")
print("    Answer of %s: %s" % (answer["model"], text[:300]))
' <<<"$answer" || fail "the model did not answer" "See what '.venv/bin/orchestrator doctor' says."
}

write_start_scripts() {
  step 6 "Start scripts"
  local unix windows
  unix="--port $((10#$port))"
  windows="$unix"
  if [[ -n "$data" ]]; then
    unix="$unix --data $(printf '%q' "$data")"
    if command -v cygpath >/dev/null; then data="$(cygpath -w "$data")"; fi
    windows="$windows --data \"${data//\%/%%}\""
  fi
  fill "$ROOT/deployment/templates/start_orchestrator.sh.in" @OPTIONS@ "$unix" |
    put "$ROOT/start_orchestrator.sh" 755
  fill "$ROOT/deployment/templates/start_orchestrator.bat.in" @OPTIONS@ "$windows" |
    sed $'s/$/\r/' | put "$ROOT/start_orchestrator.bat" 644
  if [[ "$service" == no ]]; then
    return
  elif ! command -v systemctl >/dev/null; then
    say "No systemd here: no service was written."
    return
  fi
  local unit
  unit="${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/orchestrator-desktop.service"
  fill "$ROOT/deployment/systemd/orchestrator-desktop.service" @ROOT@ "${ROOT//\%/%%}" | put "$unit" 644
  if systemctl --user daemon-reload 2>/dev/null; then
    say "To start it now and at every login: systemctl --user enable --now orchestrator-desktop"
    say "To keep it running without a login: loginctl enable-linger"
  else
    say "No systemd session of this user here; log in as that user to use the service."
  fi
}

# The template on standard output, with every $2 replaced by $3, which is taken as it is.
fill() {
  local line filled
  while IFS= read -r line; do
    filled=""
    while [[ "$line" == *"$2"* ]]; do
      filled="$filled${line%%"$2"*}$3"
      line="${line#*"$2"}"
    done
    printf '%s\n' "$filled$line"
  done <"$1"
}

# Standard input becomes the file $1 with mode $2, in one step.
put() {
  mkdir -p "$(dirname "$1")"
  cat >"$1.new"
  chmod "$2" "$1.new"
  mv -f "$1.new" "$1"
  say "Written: $1"
}

main() {
  read_options "$@"
  check_place
  check_cuda
  install
  write_dataset
  fine_tune_model
  ask_model
  write_start_scripts
  printf '\nReady. Start it with %s, then open http://127.0.0.1:%d\n' "$ROOT/start_orchestrator.sh" "$((10#$port))"
}

main "$@"
