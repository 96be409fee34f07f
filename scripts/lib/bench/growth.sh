# Redis time of a claim and a listing with few and with many queued jobs.
# shellcheck shell=bash

measure_growth() {
  local claim_few claim_many list_few list_many
  read -r claim_few claim_many list_few list_many < <(example growth 1000 1000000)
  [ -n "${list_many:-}" ] || fail "the example growth printed no result"
  figure "growth: claim of 10 with 1,000 queued, µs of Redis" "$claim_few"
  figure "growth: claim of 10 with 1,000,000 queued, µs of Redis" "$claim_many"
  figure "growth: claim, ratio" "$(calc "$claim_many / $claim_few" 2)" most 1.5
  figure "growth: listing with 1,000 queued, µs of Redis" "$list_few"
  figure "growth: listing with 1,000,000 queued, µs of Redis" "$list_many"
  figure "growth: listing, ratio" "$(calc "$list_many / $list_few" 2)" most 1.5
}
