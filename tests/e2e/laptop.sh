#!/bin/bash
# SPDX-License-Identifier: MIT
# The lesson on a laptop: eight ranks on two cores, all axes at work. Nothing here is judged by
# its time, which is printed; but ranks that spun while they wait would not get through it.
. "$(dirname "$0")/common.sh"

cores=$(taskset -cp $$ 2>/dev/null | sed 's/.*: //')
first=${cores%%[,-]*}
two_cores() {
    if [ -n "$first" ] && taskset -c "$first,$((first + 1))" true 2>/dev/null; then
        taskset -c "$first,$((first + 1))" "$@"
    else
        "$@"
    fi
}

# lesson NAME OPTIONS...: 20 steps of tiny on eight ranks.
lesson() {
    local name=$1 begin=$SECONDS
    shift
    done_well "$name" two_cores "$mpiexec" -n 8 "$ringmoe" train --data synthetic --model tiny \
        --steps 20 --seq-len 64 --microbatch 1 --global-batch 8 --eval-every 0 --save-every 0 \
        --sample-tokens 0 --threads 1 --out "$name" "$@" || return
    has 'step 20/20' out
    echo "$name: $((SECONDS - begin)) s"
    column loss "$name/metrics.jsonl" >"$name.losses"
}

lesson experts --dp 2 --ep 4
lesson axes --pp 2 --dp 2 --ep 2
cmp -s experts.losses axes.losses ||
    fail "losses differ: $(paste experts.losses axes.losses | tail -3)"
finish
