#!/usr/bin/env bash
# usage: has_code_for.sh CUOBJDUMP ARCHIVE ARCHITECTURE...
# Fails if a CUDA object of the archive (NAME.cu.o) lacks machine code for one of the architectures (80, 90).
# Exit code 77 and a line: skipped, because cuobjdump is not there.
set -euo pipefail
cuobjdump=$1 archive=$2
shift 2
if [[ ! -x $cuobjdump ]]; then
  echo "skipped: no cuobjdump, in a CUDA Toolkit or beside LibTorch's wheel"
  exit 77
fi
objects=$(ar t "$archive" | grep '\.cu\.o$') || { echo "$archive holds no CUDA object"; exit 1; }
listed=$("$cuobjdump" --list-elf "$archive")
missing=0
for object in $objects; do
  code=$(awk -v object=":$object:" '/^member / { within = index($0, object) > 0 } within' <<< "$listed")
  for architecture in "$@"; do
    if ! grep -q "\.sm_${architecture}\.cubin" <<< "$code"; then
      echo "$object of $archive has no machine code for sm_$architecture"
      missing=1
    fi
  done
done
exit $missing
