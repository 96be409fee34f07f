# Functions of all scripts: messages, packages, cargo. Sourced, never run. Works with bash 3.2
# (macOS). shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
# Folder of the tools that scripts install. Only scripts have it in their PATH; removing it
# uninstalls them.
tools=$root/.postroom/tools
PATH=$tools/bin:$PATH
# The default folder of rustup, for a shell that does not have it in its PATH.
command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
export PATH

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "error: $*"
  exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command as root: directly, or by sudo if that needs no password.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
can_be_root() { [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }

# Installs Debian packages without recommended ones.
apt_install() {
  have apt-get && can_be_root || return 1
  say "installing $* (apt-get)"
  apt_index
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null 2>&1
}

apt_index() {
  [ -n "${apt_index_is_fresh:-}" ] && return
  if can_be_root; then as_root apt-get update -qq >/dev/null 2>&1 || true; fi
  apt_index_is_fresh=1
}

brew_install() {
  have brew || return 1
  say "installing $* (brew)"
  brew install --quiet "$@" >/dev/null
}

need_cargo() {
  have cargo || fail "Rust is missing: install it with rustup (https://rustup.rs), then run this again"
}

# Prints cargo's target folder.
target_folder() {
  (cd "$root" && cargo metadata --format-version 1 --no-deps --locked) |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# Unsets the caller's settings, so that they do not affect tests.
forget_settings() {
  local name
  for name in $(env | sed -n 's/^\([A-Z_]*\)=.*/\1/p'); do
    if is_setting "$name"; then unset "$name"; fi
  done
}

is_setting() {
  case $1 in
    POSTROOM_* | SMTP_* | REDIS_* | MONITOR_* | LOG_LEVEL | LOG_FORMAT | MAIL_TRANSPORT | TEMPLATES_DIR) ;;
    QUEUES | CONCURRENCY | MAX_MESSAGE_SIZE | RETENTION | TIMEZONE | SHUTDOWN_TIMEOUT | BIND | HEALTH_PORT | PORT) ;;
    *) return 1 ;;
  esac
}
