# Numbers: time, medians, and each beside what is required of it.
# shellcheck shell=bash

# Seconds, with their parts.
now() { python3 -c 'import time; print(f"{time.time():.3f}")'; }

# rate NUMBER START: how many a second since then.
rate() { awk "BEGIN { printf \"%.0f\", $1 / ($(now) - $2) }"; }

median() {
  printf '%s\n' "$@" | sort -n | awk '{ all[NR] = $1 } END { print NR % 2 ? all[(NR + 1) / 2] : (all[NR / 2] + all[NR / 2 + 1]) / 2 }'
}

# The smallest and the largest.
spread() { printf '%s\n' "$@" | sort -n | awk 'NR == 1 { low = $1 } END { print low " to " $1 }'; }

# figure NAME VALUE [below|most|least LIMIT | spread VALUE…]: prints it, and counts it as missed when it is.
figure() {
  local name=$1 value=$2 word=${3:-} verdict=
  case $word in
    below) verdict=$(judge "$value < $4" "below $4") ;;
    most) verdict=$(judge "$value <= $4" "at most $4") ;;
    least) verdict=$(judge "$value >= $4" "at least $4") ;;
    spread) shift 3 && verdict="($(spread "$@"))" ;;
  esac
  case $verdict in MISSED*) missed=1 ;; esac
  printf '%-52s %8s   %s\n' "$name" "$value" "$verdict"
}

# ratio ONE OTHER
ratio() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }

judge() { awk "BEGIN { print ($1) ? \"ok\" : \"MISSED\" }" | sed "s/\$/, required: $2/"; }
