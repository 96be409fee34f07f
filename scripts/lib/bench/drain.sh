# Throughput of a worker with a full queue.
# shellcheck shell=bash

measure_drain() {
  local round kept=() reconnecting=() ours=() ratios=() worker_us=() redis_us=() celerys=() times=() usual=() eighty=()
  start_sink
  settings+=(TEMPLATES_DIR="$root/scripts/lib/bench/templates")
  write_recipients "$mails"
  measure_size
  [ -z "$versus" ] || choose_celery_concurrency
  for round in $(seq "$rounds"); do
    kept+=("$(drain_by_smtp_source -d)")
    reconnecting+=("$(drain_by_smtp_source)")
    drain_with_connections
    ours+=("$drained") worker_us+=("$drained_worker_us") redis_us+=("$drained_redis_us")
    ratios+=("$(calc "$drained / ${kept[$((round - 1))]}" 2)")
    drain_with_defaults
    usual+=("$drained")
    drain_with_defaults CONCURRENCY=80
    eighty+=("$drained")
    if [ -n "$versus" ]; then
      celerys+=("$(drain_by_celery)")
      times+=("$(calc "${ours[$((round - 1))]} / ${celerys[$((round - 1))]}" 1)")
    fi
    say "  round $round: smtp-source -d ${kept[$((round - 1))]}, postroom ${ours[$((round - 1))]}," \
      "with default settings" \
      "${usual[$((round - 1))]}${versus:+, celery ${celerys[$((round - 1))]}} mails/s"
  done
  halt 5 smtp-sink
  figures "drain: smtp-source -d, 4 kept connections, mails/s" -- "${kept[@]}"
  figures "drain: smtp-source, a connection per mail, 4 at once, mails/s" -- "${reconnecting[@]}"
  figures "drain: one worker, $connections connections, mails/s" -- "${ours[@]}"
  figures "drain: ratio to smtp-source -d" least 0.6 -- "${ratios[@]}"
  figures "drain: one worker, default settings, Redis over TCP, mails/s" -- "${usual[@]}"
  figures "drain: one worker, CONCURRENCY=80, Redis over TCP, mails/s" -- "${eighty[@]}"
  figures "drain: CPU of the worker, µs per mail" -- "${worker_us[@]}"
  figures "drain: CPU of Redis, µs per mail" -- "${redis_us[@]}"
  if [ -n "$versus" ]; then
    figures "drain: Celery, $celery_concurrency processes, mails/s" -- "${celerys[@]}"
    figures "drain: ratio to Celery" least 20 -- "${times[@]}"
  fi
}

# Drains with four concurrent mails per connection, so that other mails are claimed, prepared and
# settled while one is sent.
drain_with_connections() {
  local plain=("${settings[@]}")
  settings+=(CONCURRENCY=$((4 * connections)))
  printf '[transport.default]\nkind = "smtp"\nhost = "127.0.0.1"\nport = %s\nsecurity = "none"\nconnections = %s\n' \
    "$port" "$connections" >"$home/postroom.toml"
  drain_by_worker
  rm "$home/postroom.toml"
  settings=("${plain[@]}")
}

# drain_with_defaults [NAME=VALUE…]: drains with the required settings and the given ones.
drain_with_defaults() {
  local plain=("${settings[@]}")
  settings+=(REDIS_URL="redis://127.0.0.1:$redis_port" SMTP_HOST=127.0.0.1 SMTP_PORT="$port" SMTP_SECURITY=none "$@")
  drain_by_worker
  settings=("${plain[@]}")
}

start_sink() {
  local user=() try turn
  # Started as root, smtp-sink requires another user.
  [ "$(id -u)" != 0 ] || user=(-u nobody)
  for try in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    launch smtp-sink smtp-sink ${user[@]+"${user[@]}"} "127.0.0.1:$port" 1000
    for turn in 1 2 3 4 5 6 7 8 9 10; do
      sleep 0.1
      if alive smtp-sink && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
    done
  done
  tail_of smtp-sink
  fail "smtp-sink does not start"
}

# write_recipients NUMBER: writes a CSV of this number of recipients.
write_recipients() {
  awk -v n="$1" 'BEGIN { print "email,name"; for (i = 0; i < n; i++) printf "user%d@example.org,Reader %d\n", i, i }' \
    >"$home/recipients.csv"
}

# Sets $size to the size of one composed mail, so that all tools send the same number of bytes.
measure_size() {
  local file
  (settings+=(MAIL_TRANSPORT="file:$home/outbox") &&
    postroom send --sync --to user0@example.org "${mail[@]}" --var name='Reader 0') >/dev/null
  file=$(find "$home/outbox" -name '*.eml' | head -n 1)
  [ -n "$file" ] || fail "no mail to measure"
  size=$(wc -c <"$file" | tr -d ' ')
  say "  size of a mail: $size bytes"
}
mail=(--template receipt --vars "$root/scripts/lib/bench/receipt.json")

# drain_by_smtp_source [-d]: with -d, connections are kept, as by the worker. Without it, each mail
# has a new connection.
drain_by_smtp_source() {
  local start
  start=$(now)
  smtp-source "$@" -s 4 -m "$mails" -l "$size" -f bench@example.org -t user@example.org "127.0.0.1:$port"
  rate "$mails" "$start"
}

# Measures from the resume of the queue, when the worker is ready, to the last sent mail according
# to Redis. The start of the worker is excluded, as for Celery.
drain_by_worker() {
  local batch start redis_ms worker_ms
  batch=$(postroom bulk "${mail[@]}" --csv "$home/recipients.csv" 2>/dev/null)
  postroom pause bulk >/dev/null
  launch worker "$bin/postroom-worker" --queues bulk
  wait_for worker 'serves bulk' || fail "the worker does not start"
  redis_ms=$(cpu_ms "$(pid_of redis)")
  start=$(now)
  postroom resume bulk >/dev/null
  await_batch "$batch"
  worker_ms=$(cpu_ms "$(pid_of worker)")
  redis_ms=$(($(cpu_ms "$(pid_of redis)") - redis_ms))
  drained=$(rate "$mails" "$start" "$(calc "$(batch_fact "$batch" done_ms) / 1000" 3)")
  drained_worker_us=$(calc "$worker_ms * 1000 / $mails")
  drained_redis_us=$(calc "$redis_ms * 1000 / $mails")
  halt 35 worker
}

# Waits until the batch is done. Redis records that time, so rare polls suffice and cost little CPU.
await_batch() {
  local turns=300
  until [ -n "$(batch_fact "$1" done_ms)" ]; do
    turns=$((turns - 1))
    if [ "$turns" = 0 ] || ! alive worker; then
      tail_of worker
      fail "not all mails were sent"
    fi
    sleep 1
  done
  [ "$(batch_fact "$1" sent)" = "$mails" ] || fail "not all mails were sent"
}

batch_fact() { ask HGET "{postroom:bulk}:b:$1" "$2"; }
