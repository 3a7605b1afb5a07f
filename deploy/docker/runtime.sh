#!/usr/bin/env bash
# Gathers what programs need to run: OUT/bin (stripped), OUT/packages (Debian packages of the libraries they load, with the
# versions that are installed here), OUT/wheels (libraries of wheels, with the wheels' metadata, at their own paths).
# usage: deploy/docker/runtime.sh OUT PROGRAM...
set -euo pipefail
mkdir -p "$1"/{bin,wheels}
out=$(cd "$1" && pwd)
shift
libraries() { ldd "$@" 2> /dev/null | awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// && NF == 2 {print $1}' | sort -u; }
# All that a rank may load while it runs: NCCL, cuDNN and cuBLAS have parts that ldd does not show.
gather() { find . \( -name '*.so' -o -name '*.so.*' -o -path './*.dist-info/*' \) -not -name 'libtorch_python*' -not -type d -print0; }

missing=$(ldd "$@" | grep 'not found' || true)
[ -z "$missing" ] || { echo "runtime: $missing" >&2; exit 1; }
# dpkg knows the path without links, and on merged /usr for some packages the one without /usr.
mapfile -t found < <(libraries "$@" | xargs -r readlink -f | sort -u)
declare -A owner
while IFS=: read -r package _ path; do
  owner[/usr/${path#*/usr/}]=$package
done < <(dpkg-query -S "${found[@]}" "${found[@]#/usr}" 2> /dev/null |
  awk -F': ' '{split($1, package, ":"); path = $2; sub(/^\/usr/, "", path); print package[1] "::/usr" path}')
packages=(ca-certificates)
sites=()
for library in "${found[@]}"; do
  if [ -n "${owner[$library]:-}" ]; then packages+=("${owner[$library]}"); else sites+=("${library%%/site/*}/site"); fi
done
printf '%s\n' "${packages[@]}" | sort -u | xargs dpkg-query -W -f '${Package}=${Version}\n' > "$out/packages"
if [ ${#sites[@]} -gt 0 ]; then
  for site in $(printf '%s\n' "${sites[@]}" | sort -u); do
    [ -d "$site" ] || { echo "runtime: a library is in no package and no wheel: $site" >&2; exit 1; }
    mkdir -p "$out/wheels$site"
    # As hard links where the file system allows it: they are 5 GB.
    (cd "$site" && { gather | xargs -0 cp -a -l --parents -t "$out/wheels$site" 2> /dev/null ||
      gather | xargs -0 cp -a --remove-destination --parents -t "$out/wheels$site"; })
  done
  # A program looks for some of them in a folder of links, as a CUDA Toolkit has it.
  while read -r path; do
    path=$(realpath -s "$path") # ldd leaves `..` in it, which is no other file
    real=$(readlink -f "$path")
    if [ -n "${owner[$real]:-}" ] || [ "$path" = "$real" ]; then continue; fi
    mkdir -p "$out/wheels$(dirname "$path")"
    ln -sf "$real" "$out/wheels$path"
  done < <(libraries "$@")
fi
for program in "$@"; do
  install -m 755 "$program" "$out/bin/"
  strip --strip-unneeded "$out/bin/$(basename "$program")"
done
