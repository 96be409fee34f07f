# A bulk of a million recipients.
# shellcheck shell=bash

measure_million() {
  local number=1000000 start cpu cpu_after seconds own memory
  write_recipients "$number"
  read -r start cpu < <(redis_info used_memory used_cpu_user)
  (cd "$home" && env -i HOME="$HOME" PATH="$PATH" LC_ALL=C "${settings[@]}" \
    python3 "$root/scripts/lib/spent.py" "$home/spent" "$bin/postroom" bulk "${news[@]}" --csv "$home/recipients.csv" \
    >/dev/null 2>&1) || fail "the bulk was not enqueued"
  read -r seconds own memory <"$home/spent"
  cpu_after=$(redis_info used_cpu_user)
  figure "million: seconds" "$seconds" most 20
  figure "million: CPU of the command line, seconds" "$own"
  figure "million: CPU of Redis, seconds" "$(calc "$cpu_after - $cpu" 1)"
  figure "million: memory of the command line, MB" "$memory" below 64
  figure "million: bytes in Redis per mail" "$(bytes_each "$start" "$number")" most 250
  send_for 20
}

# send_for SECONDS: measures the memory of a worker that sends the batch for this time.
send_for() {
  start_sink
  settings+=(SMTP_HOST=127.0.0.1 SMTP_PORT="$port" SMTP_SECURITY=none CONCURRENCY="$connections")
  start_worker
  sleep "$1"
  [ "$(ask HGET '{postroom:bulk}:n' sent_total)" -gt 1000 ] || fail "the worker sends nothing"
  figure "million: memory of a worker that sends it, MB" "$(calc "$(peak_kb worker) / 1000" 1)" below 64
  halt 35 worker
  halt 5 smtp-sink
}
