# Processes that a script starts: each with a log and a file that holds its id, in the folder $home; stopped by id.
# shellcheck shell=bash

# launch NAME COMMAND…: in the background and in a process group of its own, so that a Ctrl-C reaches the script alone,
# which then stops them in order. Nothing of the caller's settings gets in: the array $settings is what they go by.
launch() {
  local name=$1
  shift
  mkdir -p "$home/log" "$home/run"
  # Emptied here and not by the process, so that nobody reads the words of the one before.
  : >"$home/log/$name.log"
  set -m
  (cd "$home" && exec env -i HOME="$HOME" PATH="$PATH" LC_ALL=C ${settings[@]+"${settings[@]}"} nohup "$@") \
    </dev/null >>"$home/log/$name.log" 2>&1 &
  set +m
  printf '%s\n' "$!" >"$home/run/$name.pid"
  disown
}

pid_of() { cat "$home/run/$1.pid" 2>/dev/null; }

# Whether it runs, and is not a stranger who was given its id later. Before it has become the program it is this script.
alive() {
  local pid
  pid=$(pid_of "$1") && [ -n "$pid" ] || return 1
  case $(ps -p "$pid" -o stat= -o command= 2>/dev/null) in
    Z*) return 1 ;;
    *"$1"* | *redis* | *valkey* | *scripts/*) ;;
    *) return 1 ;;
  esac
}

# wait_for NAME TEXT: waits until its log has the text; a process that ends before that is told with its log.
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

# The end of a process's log, for a person.
tail_of() {
  say "--- the end of $home/log/$1.log"
  tail -n 20 "$home/log/$1.log" >&2 || true
  say "---"
}

# halt SECONDS NAME…: asks them to end, all at once, and kills those that take longer.
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
      say "$name does not end by itself: it is killed"
      kill -KILL "$(pid_of "$name")" 2>/dev/null || true
    fi
    rm -f "$home/run/$name.pid"
  done
}
