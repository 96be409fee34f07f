# Times, medians, and the table of figures with their requirements.
# shellcheck shell=bash

# now: the time in seconds, with three decimals.
now() { python3 -c 'import time; print(f"{time.time():.3f}")'; }

# calc EXPRESSION [DECIMALS]: the value, rounded.
calc() { awk "BEGIN { printf \"%.${2:-0}f\", $1 }"; }

# rate NUMBER START [END]: the number per second.
rate() { calc "$1 / (${3:-$(now)} - $2)"; }

median() {
  printf '%s\n' "$@" | sort -n |
    awk '{ all[NR] = $1 } END { print NR % 2 ? all[(NR + 1) / 2] : (all[NR / 2] + all[NR / 2 + 1]) / 2 }'
}

# spread VALUE…: the minimum and the maximum.
spread() { printf '%s\n' "$@" | sort -n | awk 'NR == 1 { low = $1 } END { print low "–" $1 }'; }

# cpu_ms PID: the CPU time of a process, in milliseconds.
cpu_ms() {
  if [ -r "/proc/$1/stat" ]; then
    sed 's/.*) //' "/proc/$1/stat" | awk -v ticks="$(getconf CLK_TCK)" '{ printf "%.0f", ($12 + $13) * 1000 / ticks }'
  else
    ps -o cputime= -p "$1" |
      awk -F: '{ for (i = 1; i <= NF; i++) seconds = seconds * 60 + $i; printf "%.0f", seconds * 1000 }'
  fi
}

# peak_kb NAME: the peak memory of a process, or its current memory on macOS.
peak_kb() {
  local pid
  pid=$(pid_of "$1")
  if [ -r "/proc/$pid/status" ]; then
    sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status"
  else
    ps -o rss= -p "$pid" | tr -d ' '
  fi
}

# figure NAME VALUE [below|most|least LIMIT] [spread VALUE…]: adds a row to the table, and sets
# $missed if the value misses its limit.
figure() {
  local name=$1 value=$2 between='' required='' verdict=''
  shift 2
  while [ $# -gt 0 ]; do
    case $1 in
      below) required="below $2" && verdict=$(judge "$value < $2") && shift 2 ;;
      most) required="at most $2" && verdict=$(judge "$value <= $2") && shift 2 ;;
      least) required="at least $2" && verdict=$(judge "$value >= $2") && shift 2 ;;
      spread) shift && between=$(spread "$@") && shift $# ;;
      *) fail "figure $name: unknown word $1" ;;
    esac
  done
  [ "$verdict" != missed ] || missed=1
  printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$value" "$between" "$required" "$verdict" >>"$home/table"
  say "  $name: $value ${between:+($between)} $verdict"
}

# figures NAME [below|most|least LIMIT] -- VALUE…: adds a row with the median and the spread.
figures() {
  local name=$1 check=()
  shift
  while [ "$1" != -- ]; do check+=("$1") && shift; done
  shift
  figure "$name" "$(median "$@")" ${check[@]+"${check[@]}"} spread "$@"
}

judge() { awk "BEGIN { print ($1) ? \"ok\" : \"missed\" }"; }

# print_table: all figures as an aligned Markdown table.
print_table() {
  [ -s "$home/table" ] || return 0
  { printf 'figure\tmedian\tmin–max\trequired\t\n' && cat "$home/table"; } | python3 -c '
import sys
rows = [line.rstrip("\n").split("\t") for line in sys.stdin]
wide = [max(len(row[at]) for row in rows) for at in range(5)]
rows.insert(1, ["-" * wide[0]] + ["-" * (width - 1) + ":" for width in wide[1:3]] + ["-" * width for width in wide[3:]])
for row in rows:
    cells = [row[0].ljust(wide[0])]
    cells += [row[at].rjust(wide[at]) for at in (1, 2)]
    cells += [row[at].ljust(wide[at]) for at in (3, 4)]
    print("| " + " | ".join(cells) + " |")
'
}
