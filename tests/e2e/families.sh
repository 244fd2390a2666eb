#!/bin/bash
# SPDX-License-Identifier: MIT
# A run of each family is saved in the family's own files, and goes on from them on two ranks as
# if it had not been cut off.
. "$(dirname "$0")/common.sh"

run_options='--data synthetic --seq-len 32 --microbatch 1 --global-batch 4 --steps 4 --lr 0.01'

for family in olmoe qwen2_moe qwen3_moe llama qwen3; do
    # shellcheck disable=SC2086
    done_well "$family" "$ringmoe" train $run_options --model "tiny-$family" --threads 1 \
        --save-every 2 --out whole || finish
    rm -rf part
    cp -r whole part
    rm -r part/checkpoints/step-000004
    head -2 whole/metrics.jsonl >part/metrics.jsonl
    sed -i 's/"finished"/"running"/' part/run.json
    done_well "$family resumed" "$mpiexec" -n 2 "$ringmoe" train --resume --out part --threads 1
    has 'from +step 2' out
    for key in loss grad_norm; do
        cmp -s <(column "$key" whole/metrics.jsonl) <(column "$key" part/metrics.jsonl) ||
            fail "$family: $key differs: $(diff <(column "$key" whole/metrics.jsonl) \
                <(column "$key" part/metrics.jsonl) | head -4)"
    done
    has "\"model_type\": \"$family\"" part/checkpoints/step-000004/config.json
    done_well "$family evaluated" "$ringmoe" eval --model part/checkpoints/step-000004 \
        --data "$source_root/README.md" --seq-len 32 --threads 1
    has '^perplexity' out
    rm -r whole
done
finish
