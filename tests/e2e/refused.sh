#!/bin/bash
# SPDX-License-Identifier: MIT
# Bad input: the right status, one line on stderr, nothing in --out.
. "$(dirname "$0")/common.sh"

small_config >small.json
printf 'too short' >short.txt
: >empty.txt

# train_refused WHAT STATUS PATTERN OPTIONS...: later options overrule the sound ones.
train_refused() {
    local what=$1 status=$2 pattern=$3
    shift 3
    # shellcheck disable=SC2086
    refused "$what" "$status" "$pattern" "$ringmoe" train $small_run --threads 1 --out out.run "$@"
    absent out.run
}

train_refused 'missing data' 1 'missing.txt' --data missing.txt
train_refused 'empty data' 1 'empty.txt' --data empty.txt
train_refused 'short text' 1 'shorter|longer text' --data short.txt
train_refused 'missing validation text' 1 'missing.txt' --val missing.txt
train_refused 'short validation text' 1 'val: 9 tokens.* 33' --val short.txt
train_refused 'short held-out part' 1 'val-fraction: 4 tokens.* 33' --val-fraction 0.000001
train_refused 'more memory than there is' 1 'need.*free.*microbatch' --model small.json \
    --seq-len 256 --microbatch 4000000 --global-batch 4000000
train_refused 'a batch above its bound' 2 'from 1 to 1073741824' --global-batch 2000000000
train_refused 'unknown option' 2 'did you mean --steps' --stepz 4
train_refused 'unknown option far from any' 2 'help' --xylophone-quartet
train_refused 'missing value' 2 'give it a value' --steps
train_refused 'a word too many' 2 'unexpected word' word
train_refused 'steps that are no number' 2 'steps.*whole number' --steps many
train_refused 'no steps' 2 'steps' --steps 0
train_refused 'negative batch' 2 'microbatch' --microbatch -1
train_refused 'batch that does not divide' 2 'global' --global-batch 7
train_refused 'nan' 2 'lr' --lr nan
train_refused 'unknown precision' 2 'fp32\|bf16' --precision fp7
train_refused 'unknown model' 1 'tiny.*small.*base' --model enormous
train_refused 'ranks that are not there' 2 'ranks|--ep|--dp|expert' --ep 3
train_refused 'ranks of a pipeline that are not there' 2 'pp 2' --pp 2

# config_refused KEY VALUE PATTERN
config_refused() {
    sed "s/\"$1\": [0-9.]*/\"$1\": $2/" small.json >bad.json
    train_refused "$1 = $2" 1 "$3" --model bad.json
}

config_refused hidden_size -32 hidden_size
config_refused hidden_size 1000000000000 hidden_size
config_refused hidden_size '"wide"' hidden_size
config_refused hidden_size 33 'hidden_size|head'
config_refused num_attention_heads 3 'head'
config_refused num_key_value_heads 3 'num_key_value_heads'
config_refused num_experts_per_tok 5 'num_experts_per_tok'
config_refused num_hidden_layers 1000000 'num_hidden_layers'
config_refused vocab_size 0 'vocab_size'
sed 's/"hidden_size": 32, //' small.json >bad.json
train_refused 'missing key' 1 'hidden_size' --model bad.json
head -c 60 small.json >bad.json
train_refused 'half a config.json' 1 'bad.json' --model bad.json

# One line from one rank, whichever number of ranks there is.
# shellcheck disable=SC2086
refused 'more expert ranks than experts' 2 'expert' "$mpiexec" -n 8 "$ringmoe" train $small_run \
    --global-batch 16 --threads 1 --ep 8 --out out.run
absent out.run
refused 'missing data on two ranks' 1 'missing.txt' "$mpiexec" -n 2 "$ringmoe" train \
    --data missing.txt --model small.json --threads 1 --out out.run
refused 'bad option on two ranks' 2 'seed' "$mpiexec" -n 2 "$ringmoe" train --seed x
absent out.run

# shellcheck disable=SC2086
done_well 'a good run' "$ringmoe" train $small_run --threads 1 --out taken || finish
cp -r taken before
# shellcheck disable=SC2086
refused 'folder of another run' 2 'holds a run already' "$ringmoe" train $small_run --out taken
diff -r taken before >/dev/null || fail "the other run was touched"
mkdir -p remains/checkpoints
printf '{}\n' >remains/metrics.jsonl
# shellcheck disable=SC2086
refused 'what is left of another run' 2 'holds a run already' "$ringmoe" train $small_run \
    --out remains
[ "$(cat remains/metrics.jsonl)" = '{}' ] || fail "the remains were touched"
printf x >file
# shellcheck disable=SC2086
refused 'a file as folder' 1 'file' "$ringmoe" train $small_run --threads 1 --out file/run

refused 'eval of nothing' 1 'nothing' "$ringmoe" eval --model nothing --data synthetic
refused 'eval without weights' 2 'weights' "$ringmoe" eval --model small.json --data synthetic
refused 'generate of nothing' 1 'nothing' "$ringmoe" generate --model nothing
refused 'generate with a bad temperature' 2 'temperature' "$ringmoe" generate --model taken \
    --temperature -1
refused 'generate beyond the longest sequence' 2 'max_position|max_new|256' "$ringmoe" generate \
    --model taken --max-new 300
refused 'generate with two prompts' 2 'only one' "$ringmoe" generate --model taken --prompt a \
    --prompt-file b
head -c 1048577 /dev/zero >long
refused 'generate from a prompt that is too long' 1 'longer than 1048576' "$ringmoe" generate \
    --model taken --prompt-file long
refused 'unknown command' 2 'did you mean train' "$ringmoe" trian
refused 'no command' 2 'help' "$ringmoe"
refused 'bench of nothing' 2 'give one of step, moe' "$ringmoe" bench
refused 'unknown kernel level' 2 'level' env RINGMOE_CPU=mmx "$ringmoe" train $small_run
finish
