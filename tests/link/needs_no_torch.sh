#!/usr/bin/env bash
# Fails if the program loads LibTorch, CUDA, NCCL or Gloo, directly or through another library.
set -euo pipefail
if ldd "$1" | grep -E 'libtorch|libc10|libcuda|libnccl|libgloo'; then
  echo "$1 needs what only ijepa-rank may need"
  exit 1
fi
