#!/usr/bin/env bash
# Installs, builds and runs all tests on this machine. Ends with ctest's closing line.
# usage: tests/run.sh [--long] [CTEST ARGUMENTS]   (--long: the full figures as well, an hour and more)
set -euo pipefail
cd "$(dirname "$0")/.."
long=0
[ "${1:-}" = --long ] && { long=1; shift; }

deploy/install-deps.sh --servers
mkdir -p build
run() {  # run LOG COMMAND...: quiet unless it fails
  local log=$1
  shift
  "$@" > "$log" 2>&1 || { tail -40 "$log"; echo "failed: $* (log: $log)"; exit 1; }
}
run build/configure.log cmake --preset release
run build/build.log cmake --build build/release
# The layers build without one another; with ccache this costs little after the build above.
run build/control.log sh -c 'cmake --preset control && cmake --build build/control'
run build/core.log sh -c 'cmake --preset core && cmake --build build/core'

select=(-LE long)
[ $long = 1 ] && select=()
exec ctest --test-dir build/release --output-on-failure -j 3 "${select[@]}" "$@"
