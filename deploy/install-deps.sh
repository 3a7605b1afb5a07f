#!/usr/bin/env bash
# Installs what deploy/dependencies.txt lists: Debian packages (as root or by sudo) and wheels. Wheels go into
# ${IJEPA_DEPS_CACHE:-~/.cache/ijepa}/wheels-KEY, shared by all clones; KEY changes with the pinned versions; those that
# only tests use (kind check) into checks-KEY, without which these tests skip. Writes build/deps.cmake, which tells CMake
# where they are. Does nothing that is done already.
# usage: deploy/install-deps.sh [--no-torch] [--servers] [--fuzz]   (--no-torch: what the preset `control` needs;
# --servers: the programs of kind server too, which integration tests start themselves; --fuzz: the preset `fuzz` too)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
pins=$here/dependencies.txt
with_torch=1
kinds=apt
for option in "$@"; do
  case $option in
    --no-torch) with_torch=0 ;;
    --servers) kinds+='|server' ;;
    --fuzz) kinds+='|fuzz' ;;
    *) echo "deps: unknown option $option" >&2; exit 2 ;;
  esac
done

say() { printf '%s\n' "deps: $*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

install_packages() {
  local missing=() name version have
  while read -r kind name version; do
    [[ $kind =~ ^($kinds)$ ]] || continue
    have=$(dpkg-query -W -f='${db:Status-Status} ${Version}' "$name" 2>/dev/null || true)
    case "$have" in
      "installed $version"*) ;;
      *) missing+=("$name=$version*") ;;
    esac
  done < "$pins"
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${#missing[@]} Debian packages"
  as_root apt-get update -qq
  # Tests start servers on ports of their own; the packages' units stay down (policy-rc.d answers 101: not allowed).
  local policy=/usr/sbin/policy-rc.d
  if [ -e $policy ]; then policy=; else printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin $policy; fi
  local failed=0
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2 || failed=1
  if [ -n "$policy" ]; then as_root rm -f $policy; fi
  return $failed
}

# A folder that CMake and nvcc take for a CUDA Toolkit, made of links into the NVIDIA wheels.
make_cuda_prefix() {
  local site=$1 prefix=$2 toolkit=$1/nvidia/cu13 library name plain
  mkdir -p "$prefix"/{bin,lib64/stubs}
  ln -s "$toolkit"/bin/* "$prefix/bin/"  # bin is a real folder: nvcc finds ../include and ../lib64 from it
  rm -f "$prefix/bin/nvcc.profile"
  cp "$toolkit/bin/nvcc.profile" "$prefix/bin/"
  ln -s "$toolkit/include" "$prefix/include"
  ln -s "$toolkit/nvvm" "$prefix/nvvm"
  for library in "$toolkit"/lib/*; do
    name=$(basename "$library")
    ln -sf "$library" "$prefix/lib64/$name"
    plain=${name%%.so*}.so
    if [[ $name == *.so.* && ! -e $prefix/lib64/$plain ]]; then ln -s "$library" "$prefix/lib64/$plain"; fi
  done
  ln -s lib64 "$prefix/lib"
}

# Sets `checks`. A registry that does not answer costs these tests, not the build.
install_checks() {
  local list=() kind name version
  while read -r kind name version; do
    [ "$kind" = check ] && list+=("$name==$version")
  done < "$pins"
  checks=$1/checks-$(printf '%s\n' "${list[@]}" | sha256sum | cut -c1-12)
  [ ! -d "$checks" ] || return 0
  say "fetching wheels of tests into $checks (0.3 GB, once)"
  rm -rf "$checks.part"
  mkdir -p "$checks.part/site"
  if python3 -m pip install -q --disable-pip-version-check --no-warn-script-location --root-user-action=ignore --no-deps \
    --target "$checks.part/site" "${list[@]}" >&2; then
    mv "$checks.part" "$checks"
  else
    say "could not fetch them; python_roundtrip_test will skip"
  fi
}

install_wheels() {
  local cache key wheels list=() kind name version
  while read -r kind name version; do
    [ "$kind" = wheel ] && list+=("$name==$version")
  done < "$pins"
  key=$(printf '%s\n' "${list[@]}" | sha256sum | cut -c1-12)
  cache=${IJEPA_DEPS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ijepa}
  wheels=$cache/wheels-$key
  mkdir -p "$cache"
  exec 9> "$cache/lock"
  flock 9  # one installer at a time; a half-made folder has another name
  if [ ! -d "$wheels" ]; then
    say "fetching LibTorch and CUDA wheels into $wheels (4.9 GB, once)"
    rm -rf "$wheels.part"
    mkdir -p "$wheels.part/site"
    python3 -m pip install -q --disable-pip-version-check --no-warn-script-location --root-user-action=ignore \
      --target "$wheels.part/site" "${list[@]}" >&2
    mv "$wheels.part" "$wheels"
  fi
  if [ ! -d "$wheels/cuda" ]; then
    rm -rf "$wheels/cuda.part"
    make_cuda_prefix "$wheels/site" "$wheels/cuda.part"
    mv "$wheels/cuda.part" "$wheels/cuda"
  fi
  install_checks "$cache"
  mkdir -p "$root/build"
  cat > "$root/build/deps.cmake.new" <<END
set(IJEPA_WHEELS "$wheels")
set(IJEPA_CHECKS "$checks/site")
END
  cmp -s "$root/build/deps.cmake.new" "$root/build/deps.cmake" 2>/dev/null ||
    mv "$root/build/deps.cmake.new" "$root/build/deps.cmake"
  rm -f "$root/build/deps.cmake.new"
}

install_packages
if [ $with_torch = 1 ]; then install_wheels; fi
