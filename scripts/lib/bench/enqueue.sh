# Throughput of enqueueing.
# shellcheck shell=bash

measure_enqueue() {
  local round number=100000 ours=() theirs=() bulk=() ratios=()
  write_recipients "$number"
  load_two_commands
  for round in $(seq "$rounds"); do
    theirs+=("$(evaluated_a_second "$number")")
    ours+=("$(example enqueue 32 "$number")")
    bulk+=("$(bulk_a_second "$number")")
    ratios+=("$(calc "${ours[$((round - 1))]} / ${theirs[$((round - 1))]}" 2)")
    say "  round $round: redis-benchmark ${theirs[$((round - 1))]}/s, postroom ${ours[$((round - 1))]}/s," \
      "bulk ${bulk[$((round - 1))]}/s"
    ask flushall >/dev/null && load_two_commands
  done
  figures "enqueue: redis-benchmark, 32 clients, scripts/s" -- "${theirs[@]}"
  figures "enqueue: library, 32 callers, mails/s" -- "${ours[@]}"
  figures "enqueue: bulk, mails/s" -- "${bulk[@]}"
  figures "enqueue: library, ratio to redis-benchmark" least 0.6 -- "${ratios[@]}"
}

# Loads the smallest possible enqueue script, which writes a content and appends to a list.
load_two_commands() {
  sha=$(ask script load "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('RPUSH', KEYS[2], KEYS[1])")
}

evaluated_a_second() {
  "$(find_redis_benchmark)" -s "$socket" -c 32 -n "$1" -r 1000000 --csv \
    evalsha "$sha" 2 bench:__rand_int__ bench:list "$(printf '%0200d' 0)" |
    tail -n 1 | tr -d '"' | rev | cut -d , -f 7- | rev | awk -F, '{ printf "%.0f", $NF }'
}

# Measures until the last row is queued. The command's wait for the disk is excluded.
bulk_a_second() {
  local start seen=0
  start=$(now)
  postroom bulk "${news[@]}" --csv "$home/recipients.csv" >/dev/null 2>&1 &
  while [ "${seen:-0}" != "$1" ]; do
    sleep 0.02
    seen=$(ask hget '{postroom:bulk}:n' queued)
  done
  rate "$1" "$start"
  wait $!
}
news=(--template newsletter --var title='The first issue' --var intro='This mail was sent by Postroom.')
