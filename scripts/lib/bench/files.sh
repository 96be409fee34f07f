# Many mails with the same large file.
# shellcheck shell=bash

measure_files() {
  local number=${jobs:-10000} size=$((5 << 20)) start first began
  start_sink
  settings+=(SMTP_HOST=127.0.0.1 SMTP_PORT="$port" SMTP_SECURITY=none CONCURRENCY="$connections")
  start=$(redis_info used_memory)
  # The example enqueues one more mail than requested.
  example enqueue 1 0 "$size" >/dev/null
  first=$(redis_info used_memory)
  example enqueue 32 "$((number - 2))" "$size" >/dev/null
  figure "files: MB in Redis for the first mail with a 5 MB file" "$(calc "($first - $start) / 1000000" 1)"
  figure "files: bytes in Redis per further mail of $number" "$(bytes_each "$first" "$((number - 1))")" below 1000
  began=$(now)
  start_worker
  await_sent emails "$number"
  figure "files: mails/s" "$(rate "$number" "$began")"
  figure "files: peak memory of the worker, MB" "$(calc "$(peak_kb worker) / 1000" 1)" below 200
  halt 35 worker
  halt 5 smtp-sink
}
