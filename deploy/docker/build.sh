#!/usr/bin/env bash
# Builds the images ijepa-coordinator and ijepa-worker, with an SBOM each, and pushes them when a registry is named.
# usage: deploy/docker/build.sh [REGISTRY]   (REGISTRY: registry.example.org/ijepa; without one they stay on this machine)
# Needs docker with buildx; the base image is of kind `image` in deploy/dependencies.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."
registry=${1:-}
base=$(awk '$1 == "image" {print $2 ":" $3}' deploy/dependencies.txt)
version=$(sed -n 's/^project(ijepa VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
revision=$(git rev-parse HEAD)
for part in coordinator worker; do
  where=(--load)
  if [ -n "$registry" ]; then where=(--push --sbom=true --provenance=true); fi
  docker buildx build --file deploy/docker/Dockerfile --target $part --build-arg "BASE=$base" \
    --label org.opencontainers.image.title=ijepa-$part --label "org.opencontainers.image.version=$version" \
    --label "org.opencontainers.image.revision=$revision" --label org.opencontainers.image.licenses=Apache-2.0 \
    --tag "${registry:+$registry/}ijepa-$part:$version" "${where[@]}" .
done
