#!/usr/bin/env bash
# Prolog of slurmd (slurm.conf: Prolog=/etc/slurm/ijepa/prolog.sh): a node that could not train is set aside before a gang
# meets it. When it fails, SLURM drains the node and puts the job back into the queue, held, or ends it, if it is the
# coordinator's, which asks for another. SLURM tells a prolog the number of the job, not its name, so every job of
# the node is looked after; it takes milliseconds. Why is in slurmd's log, and in the syslog under ijepa-prolog.
# Settings: node.conf beside it.
set -u
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
STATE_DIR=/tmp STATE_FREE=1024 SHARED="" GPUS=0 CHECK_SECONDS=20
folder=$(dirname "$(readlink -f "$0")")
[ ! -r "$folder/node.conf" ] || . "$folder/node.conf"

fail() {
  echo "ijepa prolog: $*" >&2
  logger -t ijepa-prolog -- "job ${SLURM_JOB_ID:-?}: $*" 2> /dev/null
  exit 1
}

free=$(df --output=avail -m "$STATE_DIR" 2> /dev/null | tail -n 1)
[ -n "$free" ] || fail "there is no folder $STATE_DIR"
[ "$free" -ge "$STATE_FREE" ] || fail "$free MiB are free in $STATE_DIR, $STATE_FREE are needed"
for entry in $SHARED; do
  path=${entry%:rw}
  # A dead mount hangs instead of failing.
  timeout -s KILL "$CHECK_SECONDS" ls "$path" > /dev/null 2>&1 || fail "$path does not answer"
  [ "$path" = "$entry" ] || [ -w "$path" ] || fail "$path cannot be written"
done
if [ "$GPUS" -gt 0 ]; then
  found=$(timeout -s KILL "$CHECK_SECONDS" nvidia-smi --list-gpus 2> /dev/null | grep -c '^GPU ')
  [ "$found" -ge "$GPUS" ] || fail "$found GPUs answer, $GPUS are needed"
fi
exit 0
