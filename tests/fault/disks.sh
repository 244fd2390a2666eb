#!/bin/bash
# SPDX-License-Identifier: MIT
# A full disk, a folder that cannot be written and one that vanishes, in mid-run: a warning on the
# terminal and in the metrics, and training goes on.
. "$(dirname "$0")/faults.sh"
hydra_needed
endless="${fault_run/--steps 6/--steps 1000000} --keep 2"

# shellcheck disable=SC2086
done_well whole "$ringmoe" train $fault_run --out whole || finish

# warned NAME: a line a failed save on the terminal, the same in the metrics.
warned() {
    has '^ringmoe train: warning: step [0-9]+: not saved: .*checkpoints' "$1.err"
    has '"warnings": ?\["step [0-9]+: not saved: ' "$1/metrics.jsonl"
}

is_saved() { [ "$(newest "$1")" -ge "$2" ]; }
has_warned() { grep -q 'not saved' "$1.err"; }

# reach NAME SECONDS COMMAND...: ends the test if $job does not come so far.
reach() {
    local name=$1
    shift
    wait_until "$@" && return
    fail "$name: never ${*:2}: $(tail -3 "$name.err")"
    kill -KILL "$job" 2>/dev/null
    finish
}

# ends_saved NAME: asked to end, the run has its last step on disk. mpiexec may make 0 of a status.
ends_saved() {
    local status last
    kill -USR1 "$job"
    wait "$job"
    status=$?
    case $status in 0 | 85) ;; *) fail "$1: status $status: $(tail -3 "$1.err")" ;; esac
    grep -q '"state": "preempted"' "$1/run.json" || fail "$1: not preempted"
    last=$(column step "$1/metrics.jsonl" | tail -1)
    [ "$(newest "$1")" -eq "$last" ] || fail "$1: step $last: $(ls "$1/checkpoints")"
}

# A folder that cannot be made is in everybody's way, root's too.
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
"$ringmoe" train $endless --out gone >gone.out 2>gone.err &
job=$!
reach gone 60 is_saved gone 3
mv gone/checkpoints elsewhere
reach gone 60 is_saved gone 1
ends_saved gone

# All of the run's folder: there is nowhere left to write to, but no crash and no hang.
# shellcheck disable=SC2086
"$ringmoe" train $endless --out lost >lost.out 2>lost.err &
job=$!
reach lost 60 is_saved lost 3
mv lost lost-elsewhere
goes_on_somehow() { has_warned lost || is_saved lost 1 || is_over "$job"; }
reach lost 60 goes_on_somehow
kill -USR1 "$job" 2>/dev/null
wait "$job"
status=$?
case $status in
0 | 85) ;;
1) has '^ringmoe train: ' lost.err ;;
*) fail "a run's folder that vanishes: status $status: $(tail -3 lost.err)" ;;
esac

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
"$mpiexec" -n 2 "$ringmoe" train $endless --out "$disk/full" >full.out 2>full.err &
job=$!
reach full 60 has_warned full
rm "$disk/ballast"
reach full 60 is_saved full 1
ends_saved full
warned full
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
"$ringmoe" train $endless --out "$disk/full" >full.out 2>full.err &
job=$!
reach full 60 test -s full/metrics.jsonl
# Again and again: a save that fails gives its space back.
fill() { cat /dev/zero >>"$disk/ballast"; }
has_filled_up() { fill; has_warned full; }
reach full 60 has_filled_up
kill -USR1 "$job"
has_ended_full() { fill; is_over "$job"; }
reach full 60 has_ended_full
wait "$job"
status=$?
[ "$status" -eq 1 ] || fail "no byte left: status $status: $(cat full.err)"
has '^ringmoe train: ' full.err
finish
