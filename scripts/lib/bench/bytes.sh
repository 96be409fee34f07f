# Bytes in Redis per mail.
# shellcheck shell=bash

measure_bytes() {
  local number=60000 start
  write_recipients "$number"
  start_sink
  settings+=(SMTP_HOST=127.0.0.1 SMTP_PORT="$port" SMTP_SECURITY=none)
  start=$(redis_info used_memory)
  example enqueue 32 "$((number - 1))" >/dev/null
  figure "bytes: a queued single mail" "$(bytes_each "$start" "$number")"
  send_all emails "$number"
  figure "bytes: a sent single mail" "$(bytes_each "$start" "$number")" most 400
  ask flushall >/dev/null
  start=$(redis_info used_memory)
  postroom bulk "${news[@]}" --csv "$home/recipients.csv" >/dev/null 2>&1
  figure "bytes: a queued mail of a bulk" "$(bytes_each "$start" "$number")" most 250
  send_all bulk "$number"
  figure "bytes: a sent mail of a bulk" "$(bytes_each "$start" "$number")" most 400
  halt 5 smtp-sink
}

bytes_each() { calc "($(redis_info used_memory) - $1) / $2"; }

# send_all QUEUE NUMBER: sends this number of mails with one worker.
send_all() {
  launch worker "$bin/postroom-worker" --queues "$1"
  await_sent "$@"
  halt 35 worker
}

# await_sent QUEUE NUMBER: waits for this number of sent mails. Fails after a minute without
# progress.
await_sent() {
  local sent=0 before turns=120
  while [ "${sent:-0}" -lt "$2" ]; do
    before=$sent
    sent=$(ask hget "{postroom:$1}:n" sent_total)
    turns=$([ "$sent" != "$before" ] && echo 120 || echo $((turns - 1)))
    if [ "$turns" = 0 ] || ! alive worker; then tail_of worker && fail "not all mails were sent"; fi
    sleep 0.5
  done
  [ "$sent" = "$2" ] || fail "$sent mails were sent, but $2 were enqueued"
}
