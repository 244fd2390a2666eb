#!/bin/bash
# SPDX-License-Identifier: MIT
# `ringmoe verify` on 1, 2, 3, 4, 6 and 8 ranks: every layout gives one rank's bits. And that it
# can see a difference: a layout with another seed.
. "$(dirname "$0")/common.sh"

# well RANKS OPTIONS...
well() {
    local ranks=$1
    shift
    done_well "$ranks ranks: $*" "$mpiexec" -n "$ranks" "$ringmoe" verify --threads 1 "$@" || {
        cat out
        return 1
    }
    has '^verdict  all well: ' out
    ! grep -q 'DIFFER\|FAILED' out || fail "$ranks ranks: well, with a difference: $(cat out)"
}

# What the ranks find by themselves.
for ranks in 1 2 3; do well "$ranks" --steps 2; done
has 'finite differences: [0-9]+ derivatives' out
well 2 --precision bf16 --steps 2

# Two steps in all: weights that were gathered from their shards, and copies, are used only by
# the second.
# Every pair of axes, every schedule, recomputation, uneven stages, nodes, and all four axes.
well 4 --steps 2 --layouts \
    tp4:reproducible,pp2xtp2:gpipe:reproducible,dp2xtp2,ep4:nodes2,ep4:shadow,pp2xep2:nodes4:zb-h1,dp2xep2
well 6 --steps 2 --layouts \
    pp2xep3:zb-h1:selective,pp3xdp2:interleaved:chunks2,dp3xep2:nodes3,ep3xtp2:reproducible:nodes2
well 8 --steps 2 --layouts pp2xdp2xep2:1f1b:full,pp2xep2xtp2:reproducible,pp8:zb-h1,ep8:nodes4

# The other families, which have layers of their own: norms and limits of queries and keys, biases,
# shared experts, scaled positions. Their models are those of the golden tests, for bytes.
for family in olmoe qwen2_moe qwen3_moe llama3 qwen3; do
    sed 's/"vocab_size": 32/"vocab_size": 256/' "$source_root/tests/golden/data/$family/config.json" \
        >"$family.json"
    well 2 --steps 2 --model "$family.json"
done
has 'finite differences: [0-9]+ derivatives' out
well 4 --steps 1 --model olmoe.json --layouts tp2xdp2:reproducible,pp2xtp2:zb-h1:reproducible,ep2xtp2:full

# differs PATTERN RANKS OPTIONS...: status 1, a verdict that names the layout, nothing on stderr.
differs() {
    local pattern=$1 ranks=$2
    shift 2
    "$mpiexec" -n "$ranks" "$ringmoe" verify --threads 1 "$@" >out 2>err
    local got=$?
    [ "$got" -eq 1 ] || fail "verify $*: status $got, not 1: $(cat out err)"
    has "$pattern" out
}

differs '^verdict  NOT WELL: 1 of 2 layouts .*first ep2:seed1' 2 --layouts dp2,ep2:seed1
has '^  ep2:seed1 +DIFFER +DIFFER' out
has '^      step 1: loss [0-9.]+, not [0-9.]+' out
has '^  dp2 +same +same +same +same' out
differs '"well": false' 2 --steps 1 --layouts pp2:gpipe:seed1 --json
has '"first_difference": "step 1: loss' out

# Every tensor layout once, as all are reproducible.
well 2 --steps 1 --reproducible
[ "$(grep -c '^  tp2' out)" -eq 1 ] || fail "tensor layouts twice: $(cat out)"

done_well 'verify --json' "$mpiexec" -n 2 "$ringmoe" verify --threads 1 --steps 1 --json
has '"well": true' out
has '"checked": [0-9]+' out
has '"losses": "same"' out
if command -v python3 >/dev/null; then
    python3 -m json.tool out >/dev/null || fail "the JSON does not parse"
fi

# verify_refused WHAT PATTERN LIST
verify_refused() {
    refused "$1" 2 "$2" "$mpiexec" -n 2 "$ringmoe" verify --threads 1 --layouts "$3"
}
verify_refused 'an axis that is none' 'pp2xdp2, ep4 or serial' xp2
verify_refused 'an axis twice' 'axes joined by x' pp2xpp2
verify_refused 'no layout' 'axes joined by x' dp2,
verify_refused 'an unknown word' 'unknown word zb-h7' pp2:zb-h7
verify_refused 'more ranks than there are' 'has 4 ranks, and there are 2' ep4
verify_refused 'more ranks than can be' 'has 2147483647 ranks' pp1048576xdp1048576
finish
