# Whether memory grows with what was sent.
# shellcheck shell=bash

# The size of a portion, and after how many mails memory is looked at first.
portion=100000

measure_memory() {
  local number=${jobs:-5000000} start put=0 sent=0 waits=0 before=0 stuck=0 rss firsts=() lasts=()
  [ "$number" -ge $((3 * portion)) ] || fail "memory: --jobs has to be $((3 * portion)) at least"
  write_noop
  settings+=(MAIL_TRANSPORT=discard RETENTION=0s TEMPLATES_DIR="$home/templates" CONCURRENCY="$connections")
  start=$(redis_info used_memory)
  start_worker
  while [ "$sent" -lt "$number" ]; do
    # The next portion comes before the worker has nothing left to do, so that it is looked at under the same load all the time.
    if [ "$waits" -lt $((portion / 2)) ] && [ "$put" -lt "$number" ]; then put_portion; fi
    look_at_memory
    if [ "$sent" -gt "$portion" ] && [ "$sent" -le $((2 * portion)) ]; then firsts+=("$rss"); fi
    if [ "$sent" -gt $((number - portion)) ]; then lasts+=("$rss"); fi
    sleep 1
  done
  figures "memory: the worker after $portion mails, kB" -- "${firsts[@]}"
  figures "memory: the worker after $number mails, kB" -- "${lasts[@]}"
  figure "memory: ratio" "$(calc "$(median "${lasts[@]}") / $(median "${firsts[@]}")" 3)" most 1.05
  figure "memory: the most that the worker had, kB" "$(peak_kb worker)"
  figure "memory: bytes in Redis for the mark that a mail leaves for a day" "$(bytes_each "$start" "$number")"
  halt 35 worker
}

# As little as a mail can be, and so many rows of it.
write_noop() {
  mkdir -p "$home/templates/noop"
  echo Hello >"$home/templates/noop/subject.txt"
  echo Hello >"$home/templates/noop/body.txt"
  write_recipients "$portion"
}

put_portion() {
  postroom bulk --template noop --csv "$home/recipients.csv" >/dev/null 2>&1 || fail "a bulk was not put in"
  put=$((put + portion))
}

# Sets $sent, $waits and $rss; tells them once for each half million.
look_at_memory() {
  before=$sent
  read -r sent waits < <(ask HMGET '{postroom:bulk}:n' sent_total queued | tr '\n' ' ') || true
  rss=$(ps -o rss= -p "$(pid_of worker)" | tr -d ' ')
  stuck=$([ "$sent" != "$before" ] && echo 0 || echo $((stuck + 1)))
  if [ "$stuck" = 60 ] || ! alive worker; then tail_of worker && fail "not all mails were sent"; fi
  if [ $((sent / 500000)) != $((before / 500000)) ]; then
    say "  $sent mails: the worker has $rss kB, Redis $(calc "$(redis_info used_memory) / 1000") kB"
  fi
}
