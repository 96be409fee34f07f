# The same mail with Celery: one task per mail renders it with Jinja2, builds it with email.mime and
# sends it with smtplib.
# shellcheck shell=bash

celery_mails=3000

# Installs Celery into a separate virtual environment.
ensure_celery() {
  celery_venv=$tools/celery
  "$celery_venv/bin/python" -c 'import celery, redis, jinja2' 2>/dev/null && return
  say "installing celery into $celery_venv (pip)"
  rm -rf "$celery_venv"
  python3 -m venv "$celery_venv" 2>/dev/null || { apt_install python3-venv && python3 -m venv "$celery_venv"; } ||
    fail "python3 can't create a virtual environment: install python3-venv"
  "$celery_venv/bin/pip" install --quiet --disable-pip-version-check 'celery[redis]>=5.4,<6' 'jinja2>=3.1,<4' >&2 ||
    fail "celery can't be installed from PyPI"
}

# Sets $celery_concurrency to the fastest number of processes on this machine.
choose_celery_concurrency() {
  local number rate best=0
  for number in 2 4 8; do
    rate=$(drain_by_celery "$number")
    say "  celery with $number processes: $rate mails/s"
    if [ "$rate" -gt "$best" ]; then best=$rate celery_concurrency=$number; fi
  done
}

drain_by_celery() {
  env -i HOME="$HOME" PATH="$celery_venv/bin:$PATH" LC_ALL=C.UTF-8 \
    PYTHONPATH="$root/scripts/lib/bench" PYTHONDONTWRITEBYTECODE=1 \
    BROKER="redis+socket://$socket" SMTP_PORT="$port" TEMPLATES_DIR="$root/scripts/lib/bench/templates" \
    python "$root/scripts/lib/bench/celery_mails.py" "$celery_mails" "${1:-$celery_concurrency}"
}
