#!/bin/bash
# SPDX-License-Identifier: MIT
# What a user and a script see: help, version, JSON, and the line that is redrawn on a terminal.
. "$(dirname "$0")/common.sh"

small_config >small.json
version=$(sed -n "s/.*version: '\([0-9.]*\)',/\1/p" "$source_root/meson.build" | head -1)
done_well version "$ringmoe" --version
has "^ringmoe $version\$" out
done_well help "$ringmoe" --help
for command in train eval generate verify info bench; do
    has "^  $command " out
done
for command in train eval generate verify info 'bench step' 'bench moe' 'bench exchange' \
    'bench gemm'; do
    # shellcheck disable=SC2086
    done_well "$command --help" "$ringmoe" $command --help
    has "^usage: .*ringmoe $command" out
    has '^  --help' out
    awk 'length > 100 { bad = 1 } END { exit bad }' out || fail "$command --help: long lines"
done
done_well 'help on two ranks' "$mpiexec" -n 2 "$ringmoe" train --help
[ "$(grep -c '^usage' out)" -eq 1 ] || fail "two ranks print the help twice"

done_well info "$ringmoe" info
has '^kernels ' out
has '^openblas ' out
done_well 'info --json on two ranks' "$mpiexec" -n 2 "$ringmoe" info --threads 1 --json
[ "$(grep -c '"host"' out)" -eq 2 ] || fail "info --json does not list two ranks"
done_well 'info --model' "$ringmoe" info --model tiny --json
has '"active_parameters": [0-9]+' out
has '"total": [0-9]+' out
done_well 'info for a layout that is not here' "$ringmoe" info --model small --ep 4 --dp 2 \
    --global-batch 32
has 'pp 1 x dp 2 x ep 4 x tp 1' out
refused 'info of nothing' 1 'nothere.gguf: No such file' "$ringmoe" info nothere.gguf
mkdir -p other
refused 'info of something else' 1 'other is no model, run or checkpoint: give' "$ringmoe" info other

# On a terminal the line is redrawn: carriage returns and no plain step lines.
if command -v script >/dev/null && script --version 2>/dev/null | grep -q util-linux; then
    # shellcheck disable=SC2086
    script -qec "$ringmoe train $small_run --threads 1 --out terminal" /dev/null >out 2>err ||
        fail "on a terminal: status $?"
    tr '\r' '\n' <out >lines
    has '^\[#+\] step 6/6 ' lines
fi
finish
