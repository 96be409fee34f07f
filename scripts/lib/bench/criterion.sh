# Microbenchmarks by criterion. Its report has more details.
# shellcheck shell=bash

measure_criterion() {
  local log=$home/criterion.log
  cd "$root" || return
  # Build as one workspace, so that only the benches are compiled.
  PATH=$(dirname "$(find_redis)"):$PATH \
    cargo bench --quiet --locked --workspace --bench core --bench mail --bench smtp -- --noplot \
    >"$log" 2>&1 || { tail -n 20 "$log" >&2 && fail "cargo bench failed"; }
  criterion_figures "$log"
}

# Parses lines such as `render/newsletter   time:   [9.1 µs 9.2 µs 9.3 µs]`. A long name is on the
# line before.
criterion_figures() {
  local name value low high
  while IFS=$'\t' read -r name value low high; do
    figure "criterion: $name" "$value" spread "$low" "$high"
  done < <(awk '
    function micros(number, unit) {
      return sprintf("%.2f", number * (unit == "ns" ? 0.001 : unit == "ms" ? 1000 : unit == "s" ? 1000000 : 1))
    }
    /time: +\[/ {
      name = $1 == "time:" ? last : $1
      sub(/.*\[/, ""); sub(/\].*/, ""); split($0, n, " ")
      print name ", µs\t" micros(n[3], n[4]) "\t" micros(n[1], n[2]) "\t" micros(n[5], n[6])
    }
    NF == 1 { last = $1 }' "$1")
}
