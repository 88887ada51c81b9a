#!/usr/bin/env bash
# The gateway with every policy beside itself without any, nginx and HAProxy: requests a second, processor time a request,
# and how long an answer takes, in alternating turns. For docs/proxies.md.
#
#   benches/proxies.sh [--rounds N] [--seconds S] [--cores one|apart|all] ...        --help says what else
#
# It needs nginx and HAProxy (Debian: apt-get install nginx-light haproxy). On a machine that does other things as well, run
# it as root with real-time priority: chrt -f 10 benches/proxies.sh
set -euo pipefail
cd "$(dirname "$0")/.."

for program in nginx haproxy; do
  command -v "$program" >/dev/null || { echo "proxies: there is no $program" >&2; exit 2; }
done
# The compiler needs no real-time priority.
chrt -o 0 cargo build --release --quiet -p buttress-examples --bin gateway
chrt -o 0 cargo build --release --quiet -p buttress-benches --bin proxies
exec "${CARGO_TARGET_DIR:-target}/release/proxies" "$@"
