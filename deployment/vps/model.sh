# shellcheck shell=bash
# The model this tier answers with when the desktop is away. Sourced by deploy_vps.sh.

# Look only: a model that cannot be used is told before anything is changed.
check_model() {
  case $MODEL in
    builtin) [[ -z $SHA256 ]] || fail "--sha256 belongs to --model, which is not given." ;;
    https://*)
      [[ -n $SHA256 ]] || fail "--model with an address needs --sha256, so that what arrives is what you chose."
      [[ $(model_name) == *.gguf ]] || fail "$MODEL does not name a .gguf file." ;;
    http://*) fail "--model takes an https:// address." ;;
    *)
      [[ -e $MODEL ]] || fail "There is no model at $MODEL."
      [[ -f $MODEL && -r $MODEL ]] || fail "$MODEL is not a readable file." "This tier runs GGUF files."
      [[ $(head -c 4 "$MODEL") == GGUF ]] 2>/dev/null || fail "$MODEL is not a GGUF file." \
        "Convert it first; this tier has neither torch nor transformers."
      [[ -z $SHA256 ]] || check_sum "$MODEL" ;;
  esac
}

# Bring the model where the service may read it; sets MODEL to what the server shall use.
install_model() {
  [[ $MODEL == builtin || $MODEL == "$STATE"/models/* ]] && return 0
  local target
  target=$STATE/models/$(model_name)
  install -d -m 0750 -o "$SERVICE_USER" -g "$SERVICE_USER" "$STATE/models"
  if [[ $MODEL == https://* ]]; then
    download_model "$target"
  elif ! cmp -s "$MODEL" "$target"; then
    status "copying the model to $target"
    cp --reflink=auto "$MODEL" "$target.part"
    mv "$target.part" "$target"
  fi
  chown root:"$SERVICE_USER" "$target"
  chmod 0640 "$target"
  MODEL=$target
}

download_model() {
  if [[ -f $1 ]] && sum_is "$1"; then return 0; fi
  status "downloading the model to $1 (an interrupted download goes on where it stopped)"
  curl --fail --location --proto '=https' --retry 5 --continue-at - --output "$1.part" "$MODEL" \
    || fail "The model could not be downloaded." "Run the same command again to go on."
  if ! sum_is "$1.part"; then
    rm -f "$1.part"
    fail "What was downloaded does not have the sha256 $SHA256." "Check the address and the sum."
  fi
  mv "$1.part" "$1"
}

# A file name without surprises, from a path or an address.
model_name() {
  local name=${MODEL%%[?#]*}
  name=${name##*/}
  printf '%s' "${name//[^A-Za-z0-9._-]/_}"
}

check_sum() {
  sum_is "$1" || fail "$1 does not have the sha256 $SHA256." "Copy the file again, or check the sum."
}

sum_is() { [[ $(sha256sum <"$1") == "$SHA256 "* ]]; }
