# Redis commands and memory of an idle worker.
# shellcheck shell=bash

measure_idle() {
  local seconds=20 commands rss
  settings+=(MAIL_TRANSPORT=discard)
  start_worker
  sleep 10
  commands=$(python3 "$root/scripts/lib/count_commands.py" "$socket" "$seconds")
  rss=$(ps -o rss= -p "$(pid_of worker)")
  halt 35 worker
  figure "idle: Redis commands per second" "$commands" below 2
  figure "idle: memory of the worker, MB" "$(calc "$rss / 1000" 1)" below 20
}
