# What it costs to know whether a mail may have gone out.
# shellcheck shell=bash

measure_mark() {
  local with without
  read -r with without < <(example mark) || true
  [ -n "${without:-}" ] || fail "the mark could not be measured"
  figure "mark: claim, begin, finish by tens, µs a mail" "$with"
  figure "mark: claim, finish, µs a mail" "$without"
  figure "mark: ratio" "$(calc "$with / $without" 2)"
}
