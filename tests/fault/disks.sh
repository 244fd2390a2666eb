#!/bin/bash
# SPDX-License-Identifier: MIT
# A full disk, a folder that cannot be written and one that vanishes, in mid-run: a warning on the
# terminal and in the metrics, and training goes on.
. "$(dirname "$0")/faults.sh"

# shellcheck disable=SC2086
done_well whole "$ringmoe" train $fault_run --out whole || finish

# warned NAME: a line a failed save on the terminal, the same in the metrics.
warned() {
    has '^ringmoe train: warning: step [0-9]+: not saved: .*checkpoints' "$1.err"
    has '"warnings": ?\["step [0-9]+: not saved: ' "$1/metrics.jsonl"
}

# A file where the folder should be is in everybody's way, root's too.
mkdir -p blocked
# shellcheck disable=SC2086
"$mpiexec" -n 2 env LD_PRELOAD="$inject" INJECT=folder:3+:EROFS INJECT_RANK=0 "$ringmoe" train \
    $fault_run --out blocked >blocked.out 2>blocked.err
[ $? -eq 1 ] || fail "a folder that cannot be written: status $?: $(cat blocked.err)"
warned blocked
as_undisturbed 'a folder that cannot be written' blocked
done_well 'gone on when it can' "$ringmoe" train --resume --out blocked --threads 1
grep -q '"state": "finished"' blocked/run.json || fail 'blocked: not finished'

# Checkpoints that vanish in mid-run are a loss, but the next ones are made.
# shellcheck disable=SC2086
"$ringmoe" train ${fault_run/--steps 6/--steps 60} --out gone >gone.out 2>gone.err &
job=$!
for _ in $(seq 200); do
    [ "$(newest gone)" -ge 3 ] && break
    sleep 0.05
done
mv gone/checkpoints elsewhere
wait "$job" || fail "checkpoints that vanish: status $?: $(tail -3 gone.err)"
[ "$(newest gone)" -eq 60 ] || fail "checkpoints that vanish: $(ls gone/checkpoints)"

# All of the run's folder: there is nowhere left to write to, but no crash and no hang.
# shellcheck disable=SC2086
"$ringmoe" train ${fault_run/--steps 6/--steps 60} --out lost >lost.out 2>lost.err &
job=$!
for _ in $(seq 200); do
    [ "$(newest lost)" -ge 3 ] && break
    sleep 0.05
done
mv lost lost-elsewhere
wait "$job"
status=$?
[ "$status" -le 1 ] || fail "a run's folder that vanishes: status $status: $(tail -3 lost.err)"
[ "$status" -eq 0 ] || has '^ringmoe train: ' lost.err

disk=$work/disk
mkdir "$disk"
if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=4m tmpfs "$disk" 2>/dev/null; then
    [ "$failures" -eq 0 ] || finish
    echo 'skipped: a full disk needs a small one, which only root may mount'
    exit 77
fi
trap 'umount -l "$disk"; rm -rf "$work"' EXIT
ln -s "$disk/full" full

# Almost full until some steps have failed to be saved.
head -c 3900000 /dev/zero >"$disk/ballast"
# shellcheck disable=SC2086
"$mpiexec" -n 2 "$ringmoe" train ${fault_run/--steps 6/--steps 60} --out "$disk/full" \
    >full.out 2>full.err &
job=$!
for _ in $(seq 200); do
    grep -q 'not saved' full.err && break
    sleep 0.05
done
rm "$disk/ballast"
wait "$job" || fail "a disk that was full for a while: status $?: $(tail -3 full.err)"
warned full
[ "$(newest full)" -eq 60 ] || fail "a disk that was full: $(ls full/checkpoints)"
rm -rf "$disk/full"

# And to the end: the last save's failure is the run's.
head -c 3900000 /dev/zero >"$disk/ballast"
# shellcheck disable=SC2086
"$ringmoe" train $fault_run --out "$disk/full" >full.out 2>full.err
status=$?
[ "$status" -eq 1 ] || fail "a disk that stays full: status $status: $(cat full.err)"
as_undisturbed 'a disk that stays full' full
rm "$disk/ballast"
done_well 'gone on with space' "$ringmoe" train --resume --out "$disk/full" --threads 1
as_undisturbed 'gone on with space' full
rm -rf "$disk/full"

# Not even a line of metrics fits.
mkdir "$disk/full"
# shellcheck disable=SC2086
"$ringmoe" train ${fault_run/--steps 6/--steps 40} --out "$disk/full" >full.out 2>full.err &
job=$!
for _ in $(seq 200); do
    [ -s full/metrics.jsonl ] && break
    sleep 0.02
done
cat /dev/zero >"$disk/ballast" 2>/dev/null
wait "$job"
status=$?
[ "$status" -eq 1 ] || fail "no byte left: status $status: $(cat full.err)"
has '^ringmoe train: ' full.err
finish
