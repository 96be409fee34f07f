# Cost of the mark, which shows whether a mail may have been sent.
# shellcheck shell=bash

measure_mark() {
  local with without
  read -r with without < <(example mark) || true
  [ -n "${without:-}" ] || fail "the example mark printed no result"
  figure "mark: claim, begin, finish in groups of ten, µs per mail" "$with"
  figure "mark: claim, finish, µs per mail" "$without"
  figure "mark: ratio" "$(calc "$with / $without" 2)"
}
