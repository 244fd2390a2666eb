#!/bin/bash
# SPDX-License-Identifier: MIT
# What a user can count on with checkpoints: another layout or precision goes on, another model,
# text or batch does not; damage is found and the one before is used; the best stays; a save
# that fails is a warning until it is too late.
reseal=$(realpath "$4")
. "$(dirname "$0")/common.sh"

small_config >small.json
# shellcheck disable=SC2206
small=($small_run --threads 1)

# flip FILE: turns all bits of a byte in its second half; again, and it is what it was.
flip() {
    local at byte
    at=$(($(stat -c %s "$1") * 3 / 4))
    byte=$(od -An -tu1 -j "$at" -N 1 "$1")
    printf '%b' "\\x$(printf %02x $((byte ^ 255)))" |
        dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}
# checksum RUN: of the weights of its newest checkpoint.
checksum() { "$ringmoe" info "$1" --json | grep -o '"weights_checksum": "[0-9a-f]*"'; }
# As it was behind STEP, whose checkpoint is the newest.
back_to() {
    rm -rf "$1"
    cp -r whole "$1"
    for folder in "$1"/checkpoints/step-*; do
        [ "${folder##*-}" -le "$2" ] || rm -r "$folder"
    done
}

done_well whole "$ringmoe" train "${small[@]}" --save-every 2 --keep 0 --out whole || finish
[ "$(ls whole/checkpoints | tr '\n' ' ')" = \
    'best latest step-000002 step-000003 step-000004 step-000006 ' ] ||
    fail "not every checkpoint: $(ls whole/checkpoints)"
[ "$(readlink whole/checkpoints/latest)" = step-000006 ] || fail "latest is not step 6"
# The last save is told too, in the line of its step.
has '"step":6,.*"saves":\[.*"checkpoint":6,' whole/metrics.jsonl
[ "$(wc -l <whole/metrics.jsonl)" -eq 6 ] || fail "not a line a step"

# Other layouts: one rank, then two, then four, and the same weights.
back_to moved 2
sed -i 4,6d moved/metrics.jsonl
done_well 'on two ranks' "$mpiexec" -n 2 "$ringmoe" train --resume --out moved --steps 4
has 'changed  steps 6 -> 4' out
has '"step": 4,' <("$ringmoe" info moved --json)
back_to moved 2
done_well 'on two ranks' "$mpiexec" -n 2 "$ringmoe" train --resume --out moved
rm -r moved/checkpoints/step-000006
done_well 'on four ranks' "$mpiexec" -n 4 "$ringmoe" train --resume --out moved --ep 2 --dp 2
has 'from +step 4$' out
for key in step loss grad_norm lr val_loss; do
    cmp -s <(column "$key" whole/metrics.jsonl) <(column "$key" moved/metrics.jsonl) ||
        fail "other layouts: $key differs"
done
[ "$(checksum whole)" = "$(checksum moved)" ] || fail "other layouts: the weights differ"
has '"ep": 2' <("$ringmoe" info moved --json)

# The other precision goes on, and back.
back_to other 4
done_well 'in bf16' "$ringmoe" train --resume --out other --precision bf16 --threads 1
has 'changed  precision fp32 -> bf16' out
has '^written by +1 rank, bf16' <("$ringmoe" info other)
done_well 'longer, slower, in fp32' "$ringmoe" train --resume --out other --precision fp32 \
    --steps 8 --lr 0.0001 --threads 1
has 'changed  .*steps 6 -> 8, lr 0.001 -> 0.0001' out
[ "$(wc -l <other/metrics.jsonl)" -eq 8 ] || fail "not 8 lines of metrics"

# What must stay is named, with both values and the way out; nothing changes.
cp -r other before
head -c 20000 /dev/urandom >text
sed 's/"intermediate_size": 48/"intermediate_size": 40/' small.json >wide.json
same() { refused "$1" 2 "$2.*--resume=weights" "$ringmoe" train --resume --out other "${@:3}"; }
same 'another seed' 'in the data: (data_hash|seed) is .* there and .* in this run' --seed 5
same 'another text' 'in the data: data_hash is' --data text
same 'another length' 'in the batch: seq_len is 32 there and 16 in this run' --seq-len 16
same 'another batch' 'in the batch: global_batch is 8 there and 16 in this run' --global-batch 16
same 'another microbatch' 'in the batch: microbatch is 2 there and 1 in' --microbatch 1
same 'another model' 'in the model: intermediate_size is 48 there and 40 in' --model wide.json
diff -r other before >/dev/null || fail "a refused --resume changed the run"

# A new run from old weights.
refused 'weights over a run' 2 'holds a run already: give another' "$ringmoe" train "${small[@]}" \
    --resume=weights --model whole --out other
refused 'weights of a preset' 2 'weights' "$ringmoe" train "${small[@]}" --resume=weights \
    --model tiny --out none
refused 'no model' 2 'model' "$ringmoe" train --data synthetic --resume=weights --out none
refused 'a blank for =' 2 'did you mean --resume=weights' "$ringmoe" train --resume weights
refused 'another word' 2 'off|run|weights' "$ringmoe" train --resume=moments
absent none
done_well 'random weights' "$ringmoe" train "${small[@]}" --model whole --steps 1 --out fresh
has 'from +random weights; --resume=weights begins with' out
done_well 'from weights' "$mpiexec" -n 2 "$ringmoe" train "${small[@]}" --resume=weights \
    --model whole/checkpoints/latest --out tuned
has 'from +step 0, with the weights of whole/checkpoints/latest' out
has '"first_weights": "whole/checkpoints/latest"' tuned/run.json
last=$(column loss whole/metrics.jsonl | tail -1)
awk -v first="$(column loss tuned/metrics.jsonl | head -1)" -v last="$last" \
    'BEGIN { exit !(first < last + 0.1) }' || fail "a run from weights does not begin with them"
cp tuned/metrics.jsonl once
mv tuned/checkpoints away
mkdir tuned/checkpoints
ln -s step-000006 tuned/checkpoints/latest
refused 'checkpoints that were moved away' 1 'latest names step 6, and there is no checkpoint' \
    "$ringmoe" train --resume --out tuned
rm -r tuned/checkpoints/*
done_well 'again from the weights' "$ringmoe" train --resume --out tuned --threads 1
has 'step 0, since no checkpoint had been made, with the weights of whole' out
cmp -s <(column loss once) <(column loss tuned/metrics.jsonl) ||
    fail "a run from weights begins again without them"

# eval and generate take a run, a checkpoint and a link.
for model in whole whole/checkpoints/latest whole/checkpoints/best/; do
    done_well "eval $model" "$ringmoe" eval --model "$model" --data synthetic --seq-len 32 \
        --max-sequences 4
done
done_well 'generate from a link' "$ringmoe" generate --model whole/checkpoints/latest --max-new 3

# Damage is found by info, and --resume takes the one before.
done_well 'info' "$ringmoe" info whole --verify
has '^checkpoints  step 6 \(latest, best\), step 4, step 3, step 2$' out
has '^step +6 of 6' out
has 'all [0-9]+ files are as they were written' out
back_to damaged 6
for file in damaged/checkpoints/step-000006/*; do
    flip "$file"
    refused "info of a damaged ${file##*/}" 1 "${file##*/}" "$ringmoe" info damaged --verify
    flip "$file"
done
flip damaged/checkpoints/step-000006/model-00001-of-00001.safetensors
refused 'verified by two ranks' 1 'model-00001' "$mpiexec" -n 2 "$ringmoe" info damaged --verify
"$mpiexec" -n 2 "$ringmoe" train --resume --out damaged --threads 1 >out 2>err ||
    fail "damaged newest: status $?: $(cat err)"
[ "$(wc -l <err)" -eq 1 ] || fail "damaged newest: not one line: $(cat err)"
has 'warning: .*step-000006 is damaged \(.*model-00001.*going on from .*step-000004' err
has '"warnings":\["damaged/checkpoints/step-000006 is damaged' damaged/metrics.jsonl
cmp -s <(column loss whole/metrics.jsonl) <(column loss damaged/metrics.jsonl) ||
    fail "from the checkpoint before: the losses differ"
[ -d damaged/checkpoints/step-000006.damaged ] || fail "the damaged one is gone"
[ "$(checksum whole)" = "$(checksum damaged)" ] || fail "the weights differ"
rm -r damaged/checkpoints/step-000002 damaged/checkpoints/step-000003
for step in 4 6; do truncate -s -1 damaged/checkpoints/step-00000$step/state.json; done
cp -r damaged before2
refused 'none good' 1 'none of the 2 checkpoints.*step-000006.*state.json' "$ringmoe" train \
    --resume --out damaged
diff -r damaged before2 >/dev/null || fail "a run without a good checkpoint was changed"

# One of another version is no damage: it is named, and nothing changes.
back_to versions 6
sed -i 's/"format_version": 3/"format_version": 4/' versions/checkpoints/step-000006/state.json
"$reseal" versions/checkpoints/step-000006 || fail "no new manifest"
cp -r versions before3
refused 'another version' 2 'step-000006.*another version: format_version is 4' "$ringmoe" train \
    --resume --out versions
diff -r versions before3 >/dev/null || fail "a checkpoint of another version was touched"

# A whole one that was to be replaced by one that is damaged takes its place.
back_to halfway 6
cp -r halfway/checkpoints/step-000006 halfway/checkpoints/step-000006.old
flip halfway/checkpoints/step-000006/state.json
"$ringmoe" train --resume --out halfway --threads 1 >out 2>err || fail "replaced: status $?"
has 'from +step 6$' out
has 'warning: .*step-000006 is damaged .*going on from .*step-000006.old.*called' err
[ "$(checksum whole)" = "$(checksum halfway)" ] || fail "the replaced one was not taken"
[ -d halfway/checkpoints/step-000006.damaged ] || fail "the damaged one is gone"
absent halfway/checkpoints/step-000006.old

# The best is known without the metrics, which a power cut may shorten.
best=$(readlink whole/checkpoints/best)
back_to short 6
: >short/metrics.jsonl
done_well 'without metrics' "$ringmoe" train --resume --out short --steps 10 --lr 5 --warmup 0 \
    --keep 1 --save-every 2 --threads 1
[ "$(readlink short/checkpoints/best)" = "$best" ] || fail "best moved for lack of metrics"
[ -d "short/checkpoints/$best" ] || fail "the best went away for lack of metrics"
# With another validation it cannot be compared, and stays.
back_to revalued 6
"$ringmoe" train --resume --out revalued --steps 12 --eval-sequences 2 --keep 1 --save-every 2 \
    --threads 1 >out 2>err || fail "another validation: status $?: $(cat err)"
has 'warning: validations differ .*step [0-9]+, the best up to now, is kept' err
[ -d "revalued/checkpoints/$best" ] || fail "the best of before is gone"
[ "$(readlink revalued/checkpoints/best)" != "$best" ] || fail "no best of the new validation"
# Nor with another text in the file that it is read from.
head -c 2000 "$source_root/README.md" >val.txt
done_well 'a file' "$ringmoe" train "${small[@]}" --val val.txt --out reworded || finish
best=$(readlink reworded/checkpoints/best)
tail -c 2000 "$source_root/README.md" >val.txt
"$ringmoe" train --resume --out reworded --steps 12 --keep 1 --threads 1 >out 2>err ||
    fail "another text to validate on: status $?: $(cat err)"
has "warning: validations differ .*step $((10#${best#step-})), the best up to now, is kept" err
has '"warnings":\[.*validations differ' reworded/metrics.jsonl
[ -d "reworded/checkpoints/$best" ] || fail "the best by another text is gone"

# The best stays beyond --keep; leftovers of a killed run go away; a replaced one comes back.
back_to kept 6
mkdir kept/checkpoints/step-000009.tmp
printf x >kept/checkpoints/step-000009.tmp/state.json
cp -r kept/checkpoints/step-000004 kept/checkpoints/step-000004.old
mv kept/checkpoints/step-000006 kept/checkpoints/step-000006.old
best=$(readlink kept/checkpoints/best)
done_well 'best' "$ringmoe" train --resume --out kept --steps 12 --lr 5 --warmup 0 --keep 1 \
    --save-every 2 --threads 1
has 'from +step 6$' out
[ "$(ls kept/checkpoints | tr '\n' ' ')" = "best latest $best step-000012 " ] ||
    fail "not the best and the newest: $(ls -l kept/checkpoints)"
[ "$(readlink kept/checkpoints/best)" = "$best" ] || fail "best is not $best any more"
[ "$(readlink kept/checkpoints/latest)" = step-000012 ] || fail "latest is not step 12"

# A save that fails is a warning as long as training goes on ..
back_to unsaved 2
sed -i 3,6d unsaved/metrics.jsonl
printf x >unsaved/checkpoints/step-000004
"$ringmoe" train --resume --out unsaved --threads 1 >out 2>err || fail "one save: status $?"
[ "$(wc -l <err)" -eq 1 ] || fail "a failed save: not one line: $(cat err)"
has 'warning: step 4: not saved: .*step-000004' err
has '"step":5.*"warnings":\["step 4: not saved' unsaved/metrics.jsonl
has '"state": "finished"' unsaved/run.json
[ "$(readlink unsaved/checkpoints/latest)" = step-000006 ] || fail "latest is not step 6"
# .. and a failure at the end.
back_to unsaved 4
printf x >unsaved/checkpoints/step-000006
"$ringmoe" train --resume --out unsaved --threads 1 >out 2>err
[ $? -eq 1 ] || fail "a run whose last save failed does not end with 1"
has '^ringmoe train: step 6: not saved: .*; the newest checkpoint is of step 4$' err
has '"state": "failed"' unsaved/run.json
has '"step":6,.*"warnings":\[.*"step 6: not saved' unsaved/metrics.jsonl
[ "$(wc -l <unsaved/metrics.jsonl)" -eq 6 ] || fail "metrics are missing"

# A folder that goes away: training goes on, and what could not be kept is told.
"$ringmoe" train "${small[@]}" --steps 300 --save-every 50 --eval-every 0 --out gone >out 2>err &
process=$!
for _ in $(seq 100); do
    [ "$(cat gone/metrics.jsonl 2>/dev/null | wc -l)" -ge 2 ] && break
    sleep 0.1
done
mv gone elsewhere
wait "$process"
[ $? -eq 1 ] || fail "a run without its folder does not end with 1"
has 'warning: gone/metrics.jsonl: cannot find it any more' err
has '^ringmoe train: step 300: not saved: gone/run.json: cannot find it .*lost: [0-9]+ lines' err
absent gone
finish
