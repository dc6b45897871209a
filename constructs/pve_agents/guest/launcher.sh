#!/bin/sh
# Runs as root in the container: starts the program beside it, and installs python3 for it where the template has none.
here=$(cd "$(dirname "$0")" && pwd) && name=$(basename "$0") && export DEBIAN_FRONTEND=noninteractive || exit
fail() { echo "  $1" >&2 && exit 1; }
has_python() { python3 -I -c 'import json, selectors, sys, tarfile; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
apt() { timeout 1200 apt-get -qq -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 -o APT::Install-Recommends=false "$@"; }
grep -qsE '^ID="?(debian|ubuntu)"?$' "${here%/opt/pve-agents/*}/etc/os-release" ||
  fail "the container runs neither Debian nor Ubuntu: choose a template of one of them, and deploy again"
for seconds in 0 5 30; do
  if has_python || [ "$name" = verify ]; then break; fi
  echo "[${here##*/}] installing python3" && sleep "$seconds"
  { timeout 600 dpkg --configure -a || true; } && { apt update || true; } && apt install -y python3
done >&2
has_python || fail "the container has no Python 3.11 or newer, which apt-get brings from Debian 12 and Ubuntu 24.04 on: look at its template and its network, and deploy again"
exec python3 -I -B -X utf8 "$here/program" "$name" "$@"
