#!/bin/bash
# SPDX-License-Identifier: MIT
# The layout does not change the answer: the losses, as they are written with 17 digits, are the
# same text for any number of threads and ranks. Fourth argument: the precision.
. "$(dirname "$0")/common.sh"

small_config >small.json

# train NAME LAUNCHER... -- OPTIONS...
train() {
    local name=$1 launcher=()
    shift
    while [ "$1" != -- ]; do launcher+=("$1"); shift; done
    shift
    # shellcheck disable=SC2086
    done_well "$name" ${launcher[@]+"${launcher[@]}"} "$ringmoe" train $small_run \
        --precision "$precision" --out "$name" "$@" || finish
    for key in step loss grad_norm balance_loss z_loss load_max_over_mean val_loss; do
        column "$key" "$name/metrics.jsonl"
    done >"$name.bits"
    [ "$(wc -l <"$name.bits")" -ge 36 ] || fail "$name: metrics are missing"
    cmp -s one.bits "$name.bits" || fail "$name differs from one rank with one thread:
$(diff one.bits "$name.bits" | head -6)"
}

precision=$4
train one -- --threads 1
train threads -- --threads 2
train ep2 "$mpiexec" -n 2 -- --threads 1 --ep 2
train ep4 "$mpiexec" -n 4 -- --threads 1 --ep 4
train dp2 "$mpiexec" -n 2 -- --threads 1 --ep 1 --dp 2
train dp2ep2 "$mpiexec" -n 4 -- --threads 1 --ep 2 --dp 2

# Weights and moments too: a model saved by four ranks is the model one rank saved.
checksums one/checkpoints/step-000006 >one.sums
[ "$(wc -l <one.sums)" -eq 3 ] || fail "state.json has not three checksums: $(cat one.sums)"
cmp -s one.sums <(checksums dp2ep2/checkpoints/step-000006) ||
    fail "one rank and four saved other weights or moments"
finish
