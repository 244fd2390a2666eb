#!/bin/bash
# SPDX-License-Identifier: MIT
# Each family of models as a user meets it: its preset is trained, saved in the family's own files,
# resumed on two ranks, evaluated and asked for text; one that llama.cpp can have becomes a GGUF file
# and a folder again, with the same loss; dense ones get experts, and train on.
. "$(dirname "$0")/common.sh"

run_options='--data synthetic --seq-len 32 --microbatch 1 --global-batch 4 --lr 0.01 --eval-every 4 --threads 1'
head -c 8000 "$source_root/README.md" >text

loss_of() {
    "$ringmoe" eval --json --seq-len 32 --max-sequences 8 --threads 1 --data text --model "$1" 2>err |
        sed -n 's/.*"loss": \([0-9.e+-]*\).*/\1/p'
}

# close WHAT A B TOLERANCE
close() {
    awk -v a="$2" -v b="$3" -v t="$4" 'BEGIN { exit !(a > 0 && a - b <= t && b - a <= t) }' ||
        fail "$1: $2 and $3"
}

# What some presets have and llama.cpp's graphs have not: tied heads, fewer key-value heads (both
# olmoe's and qwen2_moe's), weights of experts that do not add up (qwen3_moe's).
plain_config() {
    [ "$2" != qwen3_moe ] || { sed 's/"norm_topk_prob": false/"norm_topk_prob": true/' "$1"; return; }
    sed -e 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' \
        -e 's/"num_key_value_heads": 2/"num_key_value_heads": 4/' "$1"
}

# The preset, cut off behind step 2 of 4 and resumed.
train_and_resume() {
    local family=$1 preset=$2
    # shellcheck disable=SC2086
    done_well "$family" "$ringmoe" train $run_options --model "$preset" --steps 4 --save-every 2 \
        --out whole || finish
    cp -r whole part
    rm -r part/checkpoints/best part/checkpoints/step-000004
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
    done_well "$family generates" "$ringmoe" generate --model part --prompt 'The experts' \
        --max-new 8 --temperature 0 --threads 1
}

# through_gguf FAMILY MODEL: to GGUF and back, and quantised.
through_gguf() {
    local family=$1 model=$2 before
    before=$(loss_of "$model")
    done_well "$family to GGUF" "$ringmoe" convert --model "$model" --to gguf --out model.gguf
    close "$family as GGUF" "$before" "$(loss_of model.gguf)" 0
    done_well "$family to bf16" "$ringmoe" convert --model "$model" --to gguf --type bf16 --out bf16.gguf
    close "$family in bf16" "$before" "$(loss_of bf16.gguf)" 0.05
    done_well "$family to Q8_0" "$ringmoe" convert --model "$model" --to gguf --type q8_0 --out q8.gguf
    close "$family in Q8_0" "$before" "$(loss_of q8.gguf)" 0.05
    done_well "$family generates from Q8_0" "$ringmoe" generate --model q8.gguf --prompt 'The experts' \
        --max-new 8 --temperature 0 --threads 1
    done_well "$family back" "$ringmoe" convert --model model.gguf --to hf --out back
    close "$family back" "$before" "$(loss_of back)" 0
    done_well "$family described" "$ringmoe" info --model q8.gguf
    has "family  *$family" out
}

for family in mixtral olmoe qwen2_moe qwen3_moe llama qwen3; do
    preset=tiny-$family
    [ "$family" != mixtral ] || preset=tiny
    train_and_resume "$family" "$preset"
    model=part/checkpoints/step-000004
    if [ "$family" != mixtral ] && [[ $family == *moe ]]; then
        plain_config "$model/config.json" "$family" >plain.json
        # shellcheck disable=SC2086
        done_well "$family for llama.cpp" "$ringmoe" train $run_options --model plain.json --steps 1 \
            --out plain || finish
        model=plain/checkpoints/step-000001
    fi
    through_gguf "$family" "$model"
    if [ "$family" = llama ] || [ "$family" = qwen3 ]; then
        done_well "$family upcycled" "$ringmoe" convert --model "$model" --to hf --upcycle 8 \
            --experts-per-token 2 --out sparse
        close "$family upcycled" "$(loss_of "$model")" "$(loss_of sparse)" 1e-5
        # shellcheck disable=SC2086
        done_well "$family upcycled trains on" "$mpiexec" -n 2 "$ringmoe" train $run_options \
            --resume=weights --model sparse --ep 2 --steps 3 --out trained
        has 'from +step 0, with the weights of sparse' out
        head -1 whole/metrics.jsonl >first
        awk -v a="$(column loss first)" -v b="$(column loss trained/metrics.jsonl | head -1)" \
            'BEGIN { exit !(b < a) }' || fail "$family upcycled begins at a loss as high as without training"
        done_well "$family upcycled is evaluated" "$ringmoe" eval --model trained --data text \
            --seq-len 32 --threads 1
    fi
    rm -rf whole part plain back sparse trained ./*.gguf
done
finish
