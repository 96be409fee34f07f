# Latency from enqueue to arrival, next to a bare SMTP send.
# shellcheck shell=bash

measure_latency() {
  local turn median p99 bare_median bare_p99 medians=() p99s=() bare_medians=() bare_p99s=() ratios=()
  for turn in 1 2 3; do
    read -r median p99 bare_median bare_p99 < <(example latency "$bin/postroom-worker") || true
    [ -n "${bare_p99:-}" ] || fail "the example latency printed no result"
    medians+=("$median") p99s+=("$p99") bare_medians+=("$bare_median") bare_p99s+=("$bare_p99")
    ratios+=("$(calc "$p99 / $bare_p99" 2)")
  done
  figures "latency at 50/s: median, ms" below 3 -- "${medians[@]}"
  figures "latency at 50/s: p99, ms" -- "${p99s[@]}"
  figures "latency, bare SMTP send: median, ms" -- "${bare_medians[@]}"
  figures "latency, bare SMTP send: p99, ms" -- "${bare_p99s[@]}"
  figures "latency: p99, ratio to bare send" below 3 -- "${ratios[@]}"
}
