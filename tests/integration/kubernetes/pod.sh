#!/usr/bin/env bash
# First process of a pod, in namespaces of its own: makes the root folder that a container runtime would (read-only, with
# /proc and /dev, and the mounts on stdin, one a line: KIND SOURCE TARGET, up to an empty line) and becomes the program.
# usage: pod.sh ROOT USER GROUP PROGRAM ARGUMENT...
set -euo pipefail
root=$1 user=$2 group=$3
shift 3
mount -t tmpfs -o mode=755 root "$root"
for name in usr etc bin sbin lib lib64; do
  if [ -L "/$name" ]; then
    cp -P "/$name" "$root/"
  elif [ -d "/$name" ]; then
    mkdir "$root/$name"
    mount --bind "/$name" "$root/$name"
  fi
done
mkdir "$root/proc" "$root/dev" "$root/sys"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
while read -r kind source target && [ -n "$kind" ]; do
  mkdir -p "$root$target"
  case $kind in
    write) mount --bind "$source" "$root$target" ;;
    read) mount --bind "$source" "$root$target" && mount -o remount,bind,ro "$root$target" ;;
    memory) mount -t tmpfs -o "mode=1777,size=$source" memory "$root$target" ;;
    *) echo "pod.sh: no such kind of mount: $kind" >&2 && exit 1 ;;
  esac
done
mount -o remount,ro "$root"
exec chroot "$root" setpriv --reuid="$user" --regid="$group" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
  "$@" < /dev/null
