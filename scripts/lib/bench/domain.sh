# Whether a limit on one domain delays the mail to another.
# shellcheck shell=bash

# Number of alternating portions, and mails per portion.
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
    say "  round $round: without a limit ${free[$((round - 1))]}, with one ${limited[$((round - 1))]}," \
      "alone ${alone[$((round - 1))]} mails/s"
  done
  halt 5 smtp-sink
  figures "domain: mails/s to one of two domains, no limit" -- "${free[@]}"
  figures "domain: mails/s to one domain, the other limited to 1/s" -- "${limited[@]}"
  figures "domain: ratio of limited to no limit" least 0.9 -- "${ratios[@]}"
  figures "domain: mails/s to one domain alone" -- "${alone[@]}"
  figures "domain: ratio of limited to alone" -- "${alone_ratios[@]}"
}

# write_domain DOMAIN: writes recipients in this domain.
write_domain() {
  write_recipients "$domain_mails"
  sed "s/example\\.org/$1/" "$home/recipients.csv" >"$home/$1.csv"
}

# speed_of_other RATE DOMAIN…: mails/s to the last domain, with this limit on slow.example. The
# time runs from the start of the worker to the last mail of the last portion.
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
