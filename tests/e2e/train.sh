#!/bin/bash
# SPDX-License-Identifier: MIT
# A first run as a user makes it: train, then eval, generate and info on what came out.
. "$(dirname "$0")/common.sh"

done_well train "$ringmoe" train --data synthetic --model tiny --steps 12 --seq-len 64 \
    --microbatch 2 --global-batch 4 --warmup 2 --threads 1 --sample-tokens 40 || finish
has 'cannot fall below [0-9.]+' out
has 'step 12/12  loss [0-9.]+' out
has 'validation loss [0-9.]+ \([0-9.]+ bits per byte\)' out
has 'A sample' out
has 'runs/tiny-1/metrics.jsonl' out

for name in run.json metrics.jsonl checkpoints/step-000012/config.json; do
    [ -s "runs/tiny-1/$name" ] || fail "runs/tiny-1/$name is missing"
done
has '"state": "finished"' runs/tiny-1/run.json
has '"data_hash": "[0-9a-f]{16}"' runs/tiny-1/run.json
has '"seq-len": 64' runs/tiny-1/run.json
[ "$(wc -l <runs/tiny-1/metrics.jsonl)" -eq 12 ] || fail "metrics.jsonl does not have 12 lines"
for name in step loss grad_norm lr tokens tokens_per_s step_ms compute_ms exchange_ms wait_ms \
    optimizer_ms load_max_over_mean balance_loss z_loss dropped; do
    [ "$(column "$name" runs/tiny-1/metrics.jsonl | wc -l)" -eq 12 ] ||
        fail "metrics.jsonl: $name is not in each line"
done
[ "$(column val_loss runs/tiny-1/metrics.jsonl | wc -l)" -ge 6 ] || fail "too few val_loss"
first=$(column loss runs/tiny-1/metrics.jsonl | head -1)
last=$(column loss runs/tiny-1/metrics.jsonl | tail -1)
awk -v first="$first" -v last="$last" 'BEGIN { exit !(last < first - 0.2) }' ||
    fail "the loss does not fall: $first to $last"

"$ringmoe" train --data synthetic --model tiny --steps 1 --seq-len 16 --microbatch 1 \
    --global-batch 1 --sample-tokens 0 --json >out 2>err || fail "train --json: status $?"
has '"run": "runs/tiny-2"' out
has 'step 1/1 ' err

for model in runs/tiny-1 runs/tiny-1/checkpoints/step-000012; do
    done_well "eval $model" "$ringmoe" eval --model "$model" --data synthetic --seq-len 64 \
        --max-sequences 8
    has 'bits per byte +[0-9.]+' out
done
done_well 'eval on two ranks' "$mpiexec" -n 2 "$ringmoe" eval --model runs/tiny-1 \
    --data synthetic --seq-len 64 --max-sequences 8 --json
has '"loss": [0-9.]+' out

done_well generate "$ringmoe" generate --model runs/tiny-1 --prompt 'ab' --max-new 20 --seed 3
cp out once
done_well 'generate again' "$ringmoe" generate --model runs/tiny-1 --prompt 'ab' --max-new 20 \
    --seed 3
cmp -s out once || fail "the same seed gives another text"
printf 'ab' >prompt
done_well 'generate from a file on two ranks' "$mpiexec" -n 2 "$ringmoe" generate \
    --model runs/tiny-1 --prompt-file prompt --max-new 20 --seed 3
cmp -s out once || fail "two ranks give another text"

# Several prompts together are continued as each is alone, and stop where they are told.
done_well 'generate from three prompts' "$ringmoe" generate --model runs/tiny-1 --prompt ab \
    --prompt 'a longer one' --prompt x --max-sequences 2 --max-new 20 --seed 3
sed -n '2,/^--- 2 ---$/p' out | sed '$d' >first
cmp -s first once || fail "a prompt beside others gives another text"
done_well 'generate as JSON' "$ringmoe" generate --model runs/tiny-1 --prompt ab --max-new 20 \
    --seed 3 --json
has '"end": "length"' out
has '"new_tokens": 20' out
# The first of the new bytes that can be an argument.
byte=$(grep -oE '^ +[0-9]+,?$' out | tr -dc '0-9\n' | awk '$1 > 32 && $1 < 127 {print; exit}')
if [ -n "$byte" ]; then
    done_well 'generate up to a text' "$ringmoe" generate --model runs/tiny-1 --prompt ab \
        --max-new 20 --seed 3 --stop "$(printf '%b' "\\0$(printf '%o' "$byte")")" --json
    has '"end": "stop"' out
fi
for weights in fp32 bf16 q8_0 q4_0; do
    done_well "generate from $weights" "$ringmoe" generate --model runs/tiny-1 --prompt ab \
        --max-new 5 --weights "$weights"
    cp out all
    done_well "generate from $weights in the file" "$ringmoe" generate --model runs/tiny-1 \
        --prompt ab --max-new 5 --weights "$weights" --expert-memory 1
    cmp -s out all || fail "experts in their file give another text ($weights)"
done
refused 'a conversation without a tokenizer' 2 'no tokenizer' "$ringmoe" generate \
    --model runs/tiny-1 --prompt ab --chat

# A vocabulary that is not bytes: token ids go in and come out.
small_config | sed 's/"vocab_size": 256/"vocab_size": 300, "capacity_factor": 1/' >ids.json
# shellcheck disable=SC2086
done_well 'train with token ids' "$ringmoe" train $small_run --threads 1 --model ids.json --out ids
has '^ [0-9]+ [0-9]+ [0-9 ]+$' out
has 'step 6/6 .* dropped [0-9.]+%' out
has '[0-9.k ]+ of 6.14 k choices dropped' out
done_well 'generate token ids' "$ringmoe" generate --model ids --prompt '7 299' --max-new 3
has '^7 299 [0-9]+ [0-9]+ [0-9]+$' out
refused 'a text for token ids' 2 'from 0 to 299' "$ringmoe" generate --model ids --prompt 'ab'
has '"lr": 0.001,' ids/run.json
has '"epsilon": 1e-8,' ids/run.json
has '"vocab_size": 300,' ids/run.json

done_well 'info of a run' "$ringmoe" info --model runs/tiny-1
has 'total +[0-9.]+ [KMG]?i?B' out
finish
