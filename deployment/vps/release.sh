# shellcheck shell=bash
# shellcheck disable=SC2034 # the parts share their variables
# Releases: complete, self-contained folders under /opt/orchestrator/releases; `current` and
# `previous` point at two of them. Sourced by deploy_vps.sh.

# What the installed program is made of.
ROOMS=(pyproject.toml setup.py MANIFEST.in README.md LICENSE constraints.txt
  shared-context orchestrator-core orchestrator-app orchestrator-vps assistant-mobile
  training-data fine-tuning deployment docs)

# Finds or builds the release of this source; sets RELEASE to its folder.
prepare_release() {
  local staging mark
  remove_unfinished
  staging=$(mktemp -d "$APP/.staging-XXXXXX")
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$staging'" EXIT
  stage_source "$staging"
  mark=$(fingerprint "$staging")
  RELEASE=$(release_of "$mark")
  if [[ -n $RELEASE ]]; then
    status "this version is installed already ($(basename "$RELEASE"))"
  else
    build_release "$staging" "$mark"
  fi
  rm -rf "$staging"
  trap - EXIT
}

# Without what a build or a test leaves behind: a stale build/ would end up in the package.
stage_source() {
  local room rooms=()
  for room in "${ROOMS[@]}"; do
    [[ -e $ROOT/$room ]] && rooms+=("$room")
  done
  tar -C "$ROOT" --exclude-vcs --exclude=__pycache__ --exclude='*.egg-info' --exclude=build --exclude=.venv \
    --exclude=node_modules --exclude=tests --exclude=fine-tuning/models --exclude=fine-tuning/runs \
    --exclude='*.jsonl' --exclude='*.safetensors' -cf - "${rooms[@]}" | tar -C "$1" --no-same-owner -xf -
}

# The same source, Python and choice of engine give the same release.
fingerprint() {
  {
    (cd "$1" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
    "$PYTHON" --version
    echo "$DEVICE"
  } | sha256sum | cut -c1-16
}

# release_of FINGERPRINT: the folder of a release that has it and still runs.
release_of() {
  local folder
  for folder in "$APP"/releases/*/; do
    folder=${folder%/}
    [[ -f $folder/fingerprint && $(<"$folder/fingerprint") == "$1" ]] || continue
    if runuser -u "$SERVICE_USER" -- "$folder/venv/bin/orchestrator" --version >/dev/null 2>&1; then
      printf '%s' "$folder"
      return 0
    fi
  done
}

# Packages are built and installed by the service's user in its own folders: nothing of theirs runs as root.
build_release() {
  local options=() cache=/var/cache/orchestrator
  RELEASE=$APP/releases/$(date -u +%Y%m%d-%H%M%S)
  status "building the release $RELEASE"
  install -d -m 0755 "$RELEASE" "$cache"
  cp -r "$1" "$RELEASE/source"
  install -d "$RELEASE/venv"
  if [[ -n $WHEELHOUSE ]]; then
    cp -rL "$WHEELHOUSE" "$RELEASE/source/wheelhouse" # the given one may be for root only
    options+=(--wheelhouse "$RELEASE/source/wheelhouse")
  fi
  case $DEVICE in
    cuda) options+=(--engine cuda) ;;
    cpu) options+=(--no-gpu) ;;
  esac
  chmod -R u+rwX,go+rX "$RELEASE/source"
  chown -R "$SERVICE_USER:$SERVICE_USER" "$RELEASE"/{source,venv} "$cache"
  (cd "$RELEASE/source" && exec runuser -u "$SERVICE_USER" -- env HOME="$cache" XDG_CACHE_HOME=/var/cache \
    PIP_CACHE_DIR="$cache/pip" "$PYTHON" deployment/setup vps --venv "$RELEASE/venv" "${options[@]}") \
    || fail "The release could not be built; what runs now was not touched."
  rm -rf "$RELEASE/source"
  chown -R root:root "$RELEASE"
  cp -r "$1/deployment" "$RELEASE/deployment"
  install -D -m 0644 "$1/docs/vps.md" "$RELEASE/docs/vps.md"
  printf '%s\n' "$2" >"$RELEASE/fingerprint" # last: a release without it is unfinished
}

# Leftovers of a run that was interrupted.
remove_unfinished() {
  local folder
  for folder in "$APP"/releases/*/ "$APP"/.staging-*/; do
    [[ -d $folder && ! -f $folder/fingerprint ]] && rm -rf "$folder"
  done
  return 0
}

# Every release but the two that are pointed at.
remove_old_releases() {
  local folder
  for folder in "$APP"/releases/*/; do
    folder=${folder%/}
    [[ $folder == "$(pointed_at current)" || $folder == "$(pointed_at previous)" ]] && continue
    status "removing the old release $(basename "$folder")"
    rm -rf "$folder"
  done
}

# pointed_at current|previous: the release's folder, or nothing.
pointed_at() { readlink "$APP/$1" || true; }

# point NAME FOLDER: in one step, so that there is no moment without a release.
point() {
  ln -sfn "$2" "$APP/.$1.new"
  mv -T "$APP/.$1.new" "$APP/$1"
}
