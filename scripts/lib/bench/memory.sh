# Whether memory grows with the number of sent mails.
# shellcheck shell=bash

# Mails per portion. The first samples of memory are taken after one portion.
portion=100000

measure_memory() {
  local number=${jobs:-5000000} start put=0 sent=0 waits=0 before=0 stuck=0 rss firsts=() lasts=()
  [ "$number" -ge $((3 * portion)) ] || fail "memory: --jobs must be at least $((3 * portion))"
  write_noop
  settings+=(MAIL_TRANSPORT=discard RETENTION=0s TEMPLATES_DIR="$home/templates" CONCURRENCY="$connections")
  start=$(redis_info used_memory)
  start_worker
  while [ "$sent" -lt "$number" ]; do
    # Enqueue the next portion before the queue is empty, so that the load is constant.
    if [ "$waits" -lt $((portion / 2)) ] && [ "$put" -lt "$number" ]; then put_portion; fi
    sample_memory
    if [ "$sent" -gt "$portion" ] && [ "$sent" -le $((2 * portion)) ]; then firsts+=("$rss"); fi
    if [ "$sent" -gt $((number - portion)) ]; then lasts+=("$rss"); fi
    sleep 1
  done
  figures "memory: worker after $portion mails, kB" -- "${firsts[@]}"
  figures "memory: worker after $number mails, kB" -- "${lasts[@]}"
  figure "memory: ratio" "$(calc "$(median "${lasts[@]}") / $(median "${firsts[@]}")" 3)" most 1.05
  figure "memory: peak of the worker, kB" "$(peak_kb worker)"
  figure "memory: bytes in Redis per sent record, kept for a day" "$(bytes_each "$start" "$number")"
  halt 35 worker
}

# Writes a minimal template and one portion of recipients.
write_noop() {
  mkdir -p "$home/templates/noop"
  echo Hello >"$home/templates/noop/subject.txt"
  echo Hello >"$home/templates/noop/body.txt"
  write_recipients "$portion"
}

put_portion() {
  postroom bulk --template noop --csv "$home/recipients.csv" >/dev/null 2>&1 || fail "a bulk was not enqueued"
  put=$((put + portion))
}

# Sets $sent, $waits and $rss, and prints them once per half million mails.
sample_memory() {
  before=$sent
  read -r sent waits < <(ask HMGET '{postroom:bulk}:n' sent_total queued | tr '\n' ' ') || true
  rss=$(ps -o rss= -p "$(pid_of worker)" | tr -d ' ')
  stuck=$([ "$sent" != "$before" ] && echo 0 || echo $((stuck + 1)))
  if [ "$stuck" = 60 ] || ! alive worker; then tail_of worker && fail "not all mails were sent"; fi
  if [ $((sent / 500000)) != $((before / 500000)) ]; then
    say "  $sent mails: worker $rss kB, Redis $(calc "$(redis_info used_memory) / 1000") kB"
  fi
}
