#!/bin/bash
# SPDX-License-Identifier: MIT
# A run that goes wrong on its way: weights that explode, a disk that fills up, Ctrl-C. The last
# good state is kept, and the folder says what happened.
. "$(dirname "$0")/common.sh"

small_config >small.json

# shellcheck disable=SC2086
refused 'loss is not a number' 1 'step [0-9]+.*layer|layer.*step [0-9]+' "$ringmoe" train \
    $small_run --threads 1 --lr 1e30 --clip 0 --out nan
has '"state": "failed"' nan/run.json
checkpoint=$(ls -d nan/checkpoints/step-?????? 2>/dev/null | tail -1)
[ -n "$checkpoint" ] || fail "no checkpoint of the last good state"
[ "$(wc -l <nan/metrics.jsonl)" -eq "$((10#${checkpoint##*-}))" ] ||
    fail "the checkpoint is not that of the last line of metrics.jsonl"

# A file may grow to so many KiB only. UCX keeps to TCP, since MPI's own files in shared memory
# would not fit either; where MPI does not start that way, this part is left out.
export UCX_TLS=self,tcp
limited() { (trap '' XFSZ; ulimit -f "$1"; shift; exec "$@"); }
if limited 2 "$ringmoe" --version >/dev/null 2>&1; then
    # shellcheck disable=SC2086
    refused 'metrics that cannot be written' 1 'metrics.jsonl.*check the disk' limited 2 \
        "$ringmoe" train $small_run --steps 40 --threads 1 --out full
    [ "$(tail -c 1 full/metrics.jsonl | od -An -c | tr -d ' ')" = '\n' ] ||
        fail "metrics.jsonl ends within a line"
    has '"state": "failed"' full/run.json
    # shellcheck disable=SC2086
    refused 'a checkpoint that cannot be written' 1 'full2' limited 24 "$ringmoe" train \
        $small_run --threads 1 --save-every 0 --out full2
    [ -z "$(ls full2/checkpoints)" ] || fail "half a checkpoint stays: $(ls full2/checkpoints)"
    [ "$(wc -l <full2/metrics.jsonl)" -eq 6 ] || fail "full2: metrics are missing"
fi
unset UCX_TLS
[ -c /dev/full ] && refused 'a screen that cannot be written' 1 'screen' \
    sh -c '"$0" info --json >/dev/full' "$ringmoe"

# A signal: the step is finished, the state saved, and the run can go on.
# shellcheck disable=SC2086
"$ringmoe" train $small_run --steps 100000 --threads 1 --out stopped >out 2>err &
process=$!
for _ in $(seq 100); do
    [ "$(cat stopped/metrics.jsonl 2>/dev/null | wc -l)" -ge 2 ] && break
    sleep 0.1
done
kill -TERM "$process"
wait "$process"
[ $? -eq 1 ] || fail "a stopped run does not end with status 1"
has 'interrupted and saved after step [0-9]+' err
has '"state": "stopped"' stopped/run.json
last=$(column step stopped/metrics.jsonl | tail -1)
[ -d "$(printf 'stopped/checkpoints/step-%06d' "$last")" ] || fail "step $last was not saved"

# Time that is up: what was done is validated and saved.
# shellcheck disable=SC2086
done_well '--minutes as a limit' "$ringmoe" train $small_run --steps 100000 --minutes 0.02 \
    --threads 1 --out limited
has 'the time is up' out
has '"state": "stopped"' limited/run.json
has '"val_loss":' <(tail -1 limited/metrics.jsonl)
# shellcheck disable=SC2086
done_well '--minutes alone' "$ringmoe" train --data synthetic --model small.json --seq-len 32 \
    --microbatch 1 --global-batch 1 --eval-sequences 1 --minutes 0.03 --threads 1 --out timed
has '"steps": [0-9]+' timed/run.json
finish
