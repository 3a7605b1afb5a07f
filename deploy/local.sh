#!/usr/bin/env bash
# A cluster of one machine: a coordinator and a worker, restarted when they die, in .local/ of this clone.
# usage: deploy/local.sh demo | up | down | status | certs [NODE...]
#   demo    installs, builds, starts the cluster, pretrains on rendered scenes, shows what was learnt
#   up      installs, builds, starts the cluster and leaves it running
#   down    stops it; jobs keep their checkpoints and go on at the next up
#   status  says what runs
#   certs   makes an authority and certificates for a coordinator and the nodes that are named, in .local/certs
# IJEPA_PORT (default 7440) is the first of four ports on 127.0.0.1: clients, workers, and two for metrics.
# IJEPA_SLOTS (default auto): ranks that this machine takes at a time. IJEPA_LOCAL (default .local): where state is kept.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
self=$root/deploy/local.sh
cd "$root"
local_dir=${IJEPA_LOCAL:-$root/.local}
port=${IJEPA_PORT:-7440}
bin=$root/build/release/bin
export IJEPA_COORDINATOR=127.0.0.1:$port

say() { printf '%s\n' "local: $*" >&2; }
die() { say "$*"; exit 1; }

# Runs a program again whenever it ends, one second later, until .local/stop exists. The pid file names the program itself;
# the lock is held for as long as there is a supervisor, also between two runs of the program.
supervise() {
  local name=$1 child
  shift
  exec 9> "$local_dir/$name.lock"
  flock -n 9 || exit 0
  while [ ! -e "$local_dir/stop" ]; do
    "$@" >> "$local_dir/$name.log" 2>&1 9>&- &
    child=$!
    echo $child > "$local_dir/$name.pid"
    wait $child || true
    [ -e "$local_dir/stop" ] || { echo "local: $name ended, starting it again" >> "$local_dir/$name.log"; sleep 1 9>&-; }
  done
  rm -f "$local_dir/$name.pid"
}

pid_of() { cat "$local_dir/$1.pid" 2>/dev/null; }
alive() { local pid; pid=$(pid_of "$1") && [ -n "$pid" ] && grep -qs "ijepa-$1" "/proc/$pid/cmdline"; }

supervised() { [ -e "$local_dir/$1.lock" ] && ! flock -n "$local_dir/$1.lock" true; }

build() {
  deploy/install-deps.sh
  [ -e build/release/build.ninja ] || cmake --preset release > build/configure.log 2>&1 ||
    { tail -20 build/configure.log >&2; die "configuring failed; the log is build/configure.log"; }
  cmake --build build/release --target ijepa-coordinator ijepa-worker ijepa-rank ijepactl > build/build.log 2>&1 ||
    { tail -30 build/build.log >&2; die "building failed; the log is build/build.log"; }
}

port_is_free() { ! (exec 3<> "/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

launch() {
  local offset
  for offset in 0 1 2 3; do
    port_is_free $((port + offset)) || die "port $((port + offset)) is taken; choose another first port with IJEPA_PORT"
  done
  mkdir -p "$local_dir"/{coordinator,worker,checkpoints}
  rm -f "$local_dir/stop"
  : > "$local_dir/coordinator.log"
  : > "$local_dir/worker.log"
  setsid -f "$self" supervise coordinator "$bin/ijepa-coordinator" --listen "127.0.0.1:$port" \
    --worker-listen "127.0.0.1:$((port + 1))" --metrics-listen "127.0.0.1:$((port + 2))" \
    --data-dir "$local_dir/coordinator" --checkpoint-root "$local_dir/checkpoints" < /dev/null > /dev/null 2>&1
  setsid -f "$self" supervise worker "$bin/ijepa-worker" --coordinator "127.0.0.1:$((port + 1))" --node local \
    --slots "${IJEPA_SLOTS:-auto}" --metrics-listen "127.0.0.1:$((port + 3))" \
    --state-dir "$local_dir/worker" < /dev/null > /dev/null 2>&1
}

start() {
  if supervised coordinator && supervised worker && [ ! -e "$local_dir/stop" ]; then
    say "already running"
  elif supervised coordinator || supervised worker; then
    die "half of a cluster runs in $local_dir; run deploy/local.sh down first"
  else
    launch
  fi
  local tries=0
  until "$bin/ijepactl" nodes -o json 2>/dev/null | grep -q NODE_STATE_READY; do
    tries=$((tries + 1))
    [ $tries -lt 150 ] || { tail -n 5 "$local_dir/coordinator.log" "$local_dir/worker.log" >&2; stop; die "the cluster did not come up"; }
    sleep 0.2
  done
  say "coordinator on $IJEPA_COORDINATOR, metrics on http://127.0.0.1:$((port + 2))/metrics and $((port + 3))"
}

# Process ids of the ranks that live.
rank_pids() {
  local pid_file pid
  for pid_file in "$local_dir"/worker/ranks/*/pid; do
    [ -e "$pid_file" ] || continue
    read -r pid _ < "$pid_file" || true
    if grep -qs ijepa-rank "/proc/$pid/cmdline" && ! grep -qs '^State:.*Z' "/proc/$pid/status"; then echo "$pid"; fi
  done
}

# Asks the ranks to save and stop, so that jobs go on from there, then stops supervisors and daemons.
stop() {
  mkdir -p "$local_dir"
  local name pid asked tries=0
  asked=$(rank_pids)
  for pid in $asked; do
    kill -TERM "$pid" 2>/dev/null || true
  done
  for pid in $asked; do
    while rank_pids | grep -qx "$pid" && alive coordinator && [ $tries -lt 300 ]; do tries=$((tries + 1)); sleep 0.1; done
  done
  : > "$local_dir/stop"
  for name in worker coordinator; do
    if alive $name; then kill "$(pid_of $name)" 2>/dev/null || true; fi
  done
  for pid in $(rank_pids); do kill -KILL -- "-$pid" 2>/dev/null || true; done
  tries=0
  while { alive coordinator || alive worker || supervised coordinator || supervised worker; } && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
  for name in worker coordinator; do
    if alive $name; then kill -KILL "$(pid_of $name)" 2>/dev/null || true; fi
  done
  say "stopped"
}

status() {
  local name
  for name in coordinator worker; do
    if alive $name; then echo "$name: running, pid $(pid_of $name)"; else echo "$name: not running"; fi
  done
  if alive coordinator; then "$bin/ijepactl" nodes && "$bin/ijepactl" list; fi
}

demo() {
  local began=$SECONDS scenes=$local_dir/scenes job
  build
  say "built after $((SECONDS - began)) s"
  start
  say "rendering scenes"
  "$bin/ijepactl" data scenes "$scenes/train" --count 8000 --size 64 --seed 1 &
  "$bin/ijepactl" data scenes "$scenes/held-out" --count 2000 --size 64 --seed 2
  wait $! || die "rendering failed"
  say "submitting configs/jobs/demo.yaml after $((SECONDS - began)) s"
  local ranks=2
  "$bin/ijepactl" nodes -o json | grep -q '"slots": *1,' && ranks=1
  job=$("$bin/ijepactl" submit configs/jobs/demo.yaml --ranks $ranks --set shards=2 \
    --data "$scenes/train" --eval "$scenes/held-out")
  "$bin/ijepactl" watch "$job"
  "$bin/ijepactl" describe "$job"
  say "done after $((SECONDS - began)) s; stop the cluster with: deploy/local.sh down"
}

# An authority that is kept, a certificate of the coordinator for its host names, one for each node.
certs() {
  local folder=$local_dir/certs name names="DNS:localhost,IP:127.0.0.1,DNS:$(hostname)" days=825
  mkdir -p "$folder"
  (
    umask 077
    cd "$folder"
    if [ ! -e authority.key ]; then
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -subj "/CN=ijepa authority" -keyout authority.key -out authority.pem 2> openssl.log || { cat openssl.log >&2; exit 1; }
    fi
    for name in coordinator "$@"; do
      openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$name" \
        -keyout "$name.key" -out "$name.csr" 2> openssl.log || { cat openssl.log >&2; exit 1; }
      if [ "$name" != coordinator ]; then names="DNS:$name"; fi
      openssl x509 -req -in "$name.csr" -CA authority.pem -CAkey authority.key -CAcreateserial -days $days \
        -extfile <(echo "subjectAltName=$names") -out "$name.pem" 2> openssl.log || { cat openssl.log >&2; exit 1; }
      rm -f "$name.csr"
    done
    rm -f openssl.log
  )
  say "certificates are in $folder"
}

case "${1:-}" in
  demo) demo ;;
  up) build; start ;;
  down) stop ;;
  status) status ;;
  certs) shift; certs "$@" ;;
  supervise) shift; supervise "$@" ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$self" >&2; exit 2 ;;
esac
