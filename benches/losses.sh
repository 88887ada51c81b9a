#!/usr/bin/env bash
# What is lost when one of three upstream processes is killed (kill -9) under a thousand idempotent requests a second and
# comes back two seconds later: through the gateway and through nginx's upstream module, by turns, under the same load.
#
#   benches/losses.sh [ROUNDS]        5 by default; about 8 seconds each, twice
#
# It needs nginx (Debian: apt-get install nginx-light). Exit code 1 if the gateway loses more than nginx in all.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-5}
first=${PORT:-19080}             # this and the next three ports of loopback
bin=${CARGO_TARGET_DIR:-target}/release
command -v nginx >/dev/null || { echo "losses: there is no nginx" >&2; exit 2; }
cargo build --release --quiet -p buttress-examples

work=$(mktemp -d)
declare -A pids=()
stop() { for name in "$@"; do kill -9 "${pids[$name]}" 2>/dev/null || true; wait "${pids[$name]}" 2>/dev/null || true; done; }
trap 'stop "${!pids[@]}"; rm -rf "$work"' EXIT

node() { # node NAME PORT
  "$bin/node" "$1" "127.0.0.1:$2" 2ms >/dev/null &
  pids[$1]=$!
}

cat >"$work/gateway.toml" <<END
listen = "127.0.0.1:$first"
[upstream]
endpoints = [
  { name = "a", url = "http://127.0.0.1:$((first + 1))" },
  { name = "b", url = "http://127.0.0.1:$((first + 2))" },
  { name = "c", url = "http://127.0.0.1:$((first + 3))" },
]
[circuit_breaker]
consecutive_failures = 3
open_for = "2s"
END

cat >"$work/nginx.conf" <<END
daemon off;
worker_processes 2;
pid $work/nginx.pid;
error_log $work/error.log crit;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
  keepalive_requests 1000000;
  upstream nodes {
    server 127.0.0.1:$((first + 1)) max_fails=3 fail_timeout=2s;
    server 127.0.0.1:$((first + 2)) max_fails=3 fail_timeout=2s;
    server 127.0.0.1:$((first + 3)) max_fails=3 fail_timeout=2s;
    keepalive 32;
  }
  server {
    listen 127.0.0.1:$first;
    location / {
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream error timeout http_502 http_503 http_504;
    }
  }
}
END

round() { # round gateway|nginx
  node a $((first + 1)); node b $((first + 2)); node c $((first + 3))
  case $1 in
    gateway) RUST_LOG=off "$bin/gateway" --config "$work/gateway.toml" >/dev/null & ;;
    nginx) nginx -c "$work/nginx.conf" -p "$work" & ;;
  esac
  pids[proxy]=$!
  sleep 1
  "$bin/load" "http://127.0.0.1:$first" --rate 1000 --for 6s --connections 32 --long 0.05 >"$work/load" &
  local load=$!
  sleep 2; stop b
  sleep 2; node b $((first + 2))
  wait "$load"
  # nginx's workers end when they are asked to, not with their master's violent death.
  kill -TERM "${pids[proxy]}"; wait "${pids[proxy]}" 2>/dev/null || true
  stop a b c
  awk -v through="$1" '
    /^sent/ { sent = $2 } /^lost/ { lost = $2 } /^cut/ { cut = $2 } /^took/ { sub(/^took +/, ""); took = $0 }
    END { printf "%-8s %6d sent %4d lost %4d cut   %s\n", through, sent, lost, cut, took }' "$work/load" | tee -a "$work/all"
}

for ((i = 1; i <= rounds; i++)); do
  # Whoever is first has it neither better nor worse.
  if ((i % 2)); then round gateway; round nginx; else round nginx; round gateway; fi
done
awk '
  { sent[$1] += $2; lost[$1] += $4; cut[$1] += $6 }
  END {
    for (t in sent) printf "in all: %-8s %6d sent %4d lost %4d cut in mid-body\n", t, sent[t], lost[t], cut[t]
    exit lost["gateway"] > lost["nginx"]
  }' "$work/all"
