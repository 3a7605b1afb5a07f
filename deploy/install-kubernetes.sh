#!/usr/bin/env bash
# Builds Kubernetes' control plane, kubectl, helm and kwok from Go modules (kind `go` of deploy/dependencies.txt) for the
# tests in tests/integration/kubernetes, which skip without them. They go into ${IJEPA_DEPS_CACHE:-~/.cache/ijepa}/
# kubernetes-KEY, shared by all clones; KEY changes with the pins. Needs Go >= 1.26 and Go's module proxy; takes a quarter
# of an hour on two cores and 10 GB of Go's own caches (`go clean -cache -modcache` gives them back).
# usage: deploy/install-kubernetes.sh [--where]   (--where: prints the folder and builds nothing; fails when it is not there)
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
program=$root/tests/integration/kubernetes/control_plane.go
declare -A version
while read -r kind name pinned; do
  if [ "$kind" = go ]; then version[$name]=$pinned; fi
done < "$root/deploy/dependencies.txt"
key=$({ grep '^go ' "$root/deploy/dependencies.txt"; cat "$program"; } | sha256sum | cut -c1-12)
folder=${IJEPA_DEPS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ijepa}/kubernetes-$key

say() { printf '%s\n' "kubernetes: $*" >&2; }
if [ "${1:-}" = --where ]; then
  [ -d "$folder" ] || { say "no $folder; deploy/install-kubernetes.sh builds it"; exit 1; }
  echo "$folder"
  exit
fi
[ ! -d "$folder" ] || exit 0
command -v go > /dev/null || { say "needs Go 1.26 or later (https://go.dev/dl)"; exit 1; }

mkdir -p "$(dirname "$folder")"
exec 9> "$(dirname "$folder")/kubernetes.lock"
flock 9  # one builder at a time; a half-made folder has another name
[ ! -d "$folder" ] || exit 0
work=$folder.part
rm -rf "$work"
mkdir -p "$work"/{bin,build,stages}
cd "$work/build"
cp "$program" .
cat > tools.go <<END
//go:build tools

package main

import (
	_ "helm.sh/helm/v3/cmd/helm"
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
END
kubernetes=${version[k8s.io/kubernetes]}
{
  printf 'module ijepa.local/kubernetes\ngo 1.26.0\n'
  for name in "${!version[@]}"; do echo "require $name ${version[$name]}"; done
  # k8s.io/kubernetes names its sibling modules as v0.0.0; their release is 0.MINOR.PATCH.
  grep -oE '^\s*k8s.io/[a-z0-9-]+ v0\.0\.0$' "$(go mod download -json "k8s.io/kubernetes@$kubernetes" |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["GoMod"])')" | awk -v version="v0.${kubernetes#v1.}" \
    '{print "replace", $1, "=>", $1, version}' | sort -u
} > go.mod
say "resolving modules"
go mod tidy -e 2> tidy.log || { tail -5 tidy.log >&2; exit 1; }
release=k8s.io/component-base/version
export CGO_ENABLED=0
build() {  # build NAME PACKAGE
  say "building $1"
  go build -mod=mod -trimpath -buildvcs=false -o "$work/bin/$1" -ldflags "-s -w -X $release.gitVersion=$kubernetes \
    -X $release.gitMajor=1 -X $release.gitMinor=$(cut -d. -f2 <<< "$kubernetes")" "$2"
}
build helm helm.sh/helm/v3/cmd/helm
build kwok sigs.k8s.io/kwok/cmd/kwok
build control-plane .
for part in kube-apiserver kube-controller-manager kube-scheduler kubectl; do ln -s control-plane "$work/bin/$part"; done
stages=$(go list -mod=mod -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage  # how kwok's pods and nodes behave
find "$stages"/{pod,node}/fast "$stages"/node/heartbeat-with-lease -maxdepth 1 -name '*.yaml' ! -name kustomization.yaml \
  -exec cp -t "$work/stages" {} +
chmod -R u+w "$work"
rm -rf "$work/build"
mv "$work" "$folder"
say "done: $folder"
