#!/usr/bin/env bash
# Epilog of slurmd (slurm.conf: Epilog=/etc/slurm/ijepa/epilog.sh): removes what a worker that was killed has left on the node:
# ranks that still run, and its folder, which is named by the SLURM job. A worker that ends by itself leaves neither.
# Settings: node.conf beside it.
set -u
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
STATE_DIR=/tmp
folder=$(dirname "$(readlink -f "$0")")
[ ! -r "$folder/node.conf" ] || . "$folder/node.conf"
[[ ${SLURM_JOB_ID:-} =~ ^[0-9]+$ ]] || exit 0

for state in "$STATE_DIR/ijepa-$SLURM_JOB_ID-"*; do
  # A link is nothing of ours.
  [ -d "$state" ] && [ ! -L "$state" ] || continue
  for file in "$state"/ranks/*/pid; do
    [ -r "$file" ] && read -r pid _ < "$file" || continue
    [[ $pid =~ ^[0-9]+$ ]] || continue
    # The number may be another process by now.
    if tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -q "ijepa-rank .*$state/"; then
      kill -KILL -- "-$pid" 2> /dev/null || kill -KILL "$pid" 2> /dev/null
      logger -t ijepa-epilog -- "job $SLURM_JOB_ID: killed rank $pid" 2> /dev/null
    fi
  done
  rm -rf --one-file-system -- "$state"
done
# A failure would drain the node.
exit 0
