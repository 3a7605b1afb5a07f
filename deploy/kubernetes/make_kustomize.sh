#!/usr/bin/env bash
# Writes kustomize/base/ijepa.yaml: what the chart renders with its defaults, for those who do not use helm.
# usage: deploy/kubernetes/make_kustomize.sh [FILE]   (helm on the PATH, or that of deploy/install-kubernetes.sh)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if tools=$("$here/../install-kubernetes.sh" --where 2> /dev/null); then PATH=$tools/bin:$PATH; fi
{
  echo "# Written by deploy/kubernetes/make_kustomize.sh; change the chart."
  helm template ijepa "$here/chart" --namespace ijepa --kube-version 1.27.0 2> /dev/null |
    grep -v -e 'helm.sh/chart: ' -e 'app.kubernetes.io/managed-by: Helm'
} > "${1:-$here/kustomize/base/ijepa.yaml}"
