# Processes of a script: each has a log and a file with its process id in the folder $home, and is
# stopped by id. shellcheck shell=bash

# launch NAME COMMAND…: starts a command in the background, in its own process group. So Ctrl-C
# reaches only the script, which then stops the processes in order. The array $settings is the
# environment; the caller's is not used.
launch() {
  local name=$1
  shift
  mkdir -p "$home/log" "$home/run"
  # Truncated here and not by the process, so that no one reads the log of an earlier process.
  : >"$home/log/$name.log"
  set -m
  (cd "$home" && exec env -i HOME="$HOME" PATH="$PATH" LC_ALL=C ${settings[@]+"${settings[@]}"} nohup "$@") \
    </dev/null >>"$home/log/$name.log" 2>&1 &
  set +m
  printf '%s\n' "$!" >"$home/run/$name.pid"
  disown
}

pid_of() { cat "$home/run/$1.pid" 2>/dev/null; }

# Whether the process runs. A reused process id is detected by its command; before its exec that is
# this script's.
alive() {
  local pid
  pid=$(pid_of "$1") && [ -n "$pid" ] || return 1
  case $(ps -p "$pid" -o stat= -o command= 2>/dev/null) in
    Z*) return 1 ;;
    *"$1"* | *redis* | *valkey* | *scripts/*) ;;
    *) return 1 ;;
  esac
}

# wait_for NAME TEXT: waits until the log contains the text. If the process ends before that, prints
# its log.
wait_for() {
  local turns=300
  until grep -qF -- "$2" "$home/log/$1.log" 2>/dev/null; do
    turns=$((turns - 1))
    if ! alive "$1" || [ "$turns" = 0 ]; then
      tail_of "$1"
      return 1
    fi
    sleep 0.1
  done
}

# Prints the end of a process's log.
tail_of() {
  say "--- end of $home/log/$1.log"
  tail -n 20 "$home/log/$1.log" >&2 || true
  say "---"
}

# halt SECONDS NAME…: sends SIGTERM to all of them, and SIGKILL to those that take longer.
halt() {
  local turns=$(($1 * 10)) name
  shift
  for name in "$@"; do
    if alive "$name"; then kill -TERM "$(pid_of "$name")" 2>/dev/null || true; fi
  done
  for name in "$@"; do
    while alive "$name" && [ "$turns" -gt 0 ]; do
      turns=$((turns - 1))
      sleep 0.1
    done
    if alive "$name"; then
      say "$name did not stop in time and is killed"
      kill -KILL "$(pid_of "$name")" 2>/dev/null || true
    fi
    rm -f "$home/run/$name.pid"
  done
}
