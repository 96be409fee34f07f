# Whether a limit on one domain keeps the mail to another waiting.
# shellcheck shell=bash

# In how many portions, by turns, and of how many mails each.
domain_turns=5
domain_mails=3000

measure_domain() {
  local round limited=() free=() alone=() ratios=() alone_ratios=()
  start_sink
  settings+=(SMTP_HOST=127.0.0.1 SMTP_PORT="$port" SMTP_SECURITY=none CONCURRENCY="$connections")
  write_domain slow.example
  write_domain other.example
  for round in 1 2 3 4 5 6 7; do
    free+=("$(speed_of_other none slow.example other.example)")
    limited+=("$(speed_of_other 1/s slow.example other.example)")
    alone+=("$(speed_of_other none other.example)")
    ratios+=("$(calc "${limited[$((round - 1))]} / ${free[$((round - 1))]}" 2)")
    alone_ratios+=("$(calc "${limited[$((round - 1))]} / ${alone[$((round - 1))]}" 2)")
    say "  round $round: without ${free[$((round - 1))]}, with ${limited[$((round - 1))]}, alone ${alone[$((round - 1))]} mails a second"
  done
  halt 5 smtp-sink
  figures "domain: two domains by turns, neither limited: one's mails a second" -- "${free[@]}"
  figures "domain: the same, the other one limited to 1/s" -- "${limited[@]}"
  figures "domain: ratio" least 0.9 -- "${ratios[@]}"
  figures "domain: the same, with no mail to the other one" -- "${alone[@]}"
  figures "domain: limited, ratio to that" -- "${alone_ratios[@]}"
}

# write_domain DOMAIN: rows to it.
write_domain() {
  write_recipients "$domain_mails"
  sed "s/example\\.org/$1/" "$home/recipients.csv" >"$home/$1.csv"
}

# speed_of_other RATE DOMAIN…: mails a second to the last of these domains, with that limit on the first, from the start of the worker to
# the last mail of its last portion, by the clock that both share.
speed_of_other() {
  local limit=$1 turn domain batch='' start ended turns=600
  shift
  ask flushall >/dev/null
  postroom limits set domain.slow.example "$limit" >/dev/null
  for turn in $(seq "$domain_turns"); do
    for domain in "$@"; do
      batch=$(postroom bulk "${news[@]}" --csv "$home/$domain.csv" 2>/dev/null)
    done
  done
  start=$(now)
  launch worker "$bin/postroom-worker" --queues bulk
  until ended=$(batch_fact "$batch" done_ms) && [ -n "$ended" ]; do
    turns=$((turns - 1))
    if [ "$turns" = 0 ] || ! alive worker; then tail_of worker && fail "not all mails were sent"; fi
    sleep 0.2
  done
  halt 35 worker
  rate "$((domain_turns * domain_mails))" "$start" "$(calc "$ended / 1000" 3)"
}
