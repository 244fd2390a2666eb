#!/bin/bash
# SPDX-License-Identifier: MIT
# `ringmoe bench gemm` on shapes too small to say anything about speed: what it prints, its JSON,
# what it refuses.
. "$(dirname "$0")/common.sh"

bench="$ringmoe bench gemm"
small="--shapes 24x40,17x33 --threads 1 --repeat 2 --warm"

# values KEY FILE: the numbers of a key, one a line; positive KEY FILE: all are above 0.
values() { grep -Eo "\"$1\": [^,]*" "$2" | sed 's/.*: //'; }
positive() {
    values "$1" "$2" | grep -q . || fail "no $1 in $2"
    values "$1" "$2" | awk '!($1 > 0) { bad = 1 } END { exit bad }' || fail "$1 is not positive"
}

# shellcheck disable=SC2086
done_well 'single products' $bench $small --rows 1,7,61 --json || finish
cp out single.json
for key in seconds gflops gb_per_s read_gb_per_s write_gb_per_s copy_gb_per_s fp32_gflops \
    bf16_gflops blas_gflops roofline_gflops share_of_roofline over_best_library weight_bytes; do
    positive "$key" single.json
done
[ "$(values operation single.json | wc -l)" -eq 36 ] || fail "not 2 x 3 x 3 x 2 products"
[ "$(values openblas single.json | wc -l)" -eq 37 ] || fail "not every product has OpenBLAS"
if command -v python3 >/dev/null; then
    python3 -m json.tool single.json >/dev/null || fail "the JSON does not parse"
fi

# Zipf's counts: they sum to the tokens, and are there with fewer tokens than experts.
# shellcheck disable=SC2086
done_well 'grouped products' $bench $small --grouped --experts 3,8 --tokens 5,40 --json
positive over_one_expert out
[ "$(values rows out | sort -n | uniq | tr '\n' ' ')" = '5 40 ' ] || fail "rows: not 5 and 40"
[ "$(values most_rows out | sort -nr | head -1)" -lt 40 ] || fail "one expert has all the rows"

# shellcheck disable=SC2086
done_well 'the screen' $bench $small --rows 5 --ops forward --precision bf16
has '^forward, bf16' out
has "the machine's limits" out
has '^  24x40 +5 +[0-9.]+ ' out
has 'times the best library' out
awk 'length > 100 { bad = 1 } END { exit bad }' out || fail "lines longer than 100 columns"
# shellcheck disable=SC2086
done_well 'the grouped screen' $bench $small --grouped --experts 3 --tokens 50 --ops forward
has '^grouped forward, fp32' out
awk 'length > 100 { bad = 1 } END { exit bad }' out || fail "grouped: long lines"

# shellcheck disable=SC2086
done_well 'weights in blocks' $bench $small --rows 5 --precision q4
has '^forward, q4' out
# shellcheck disable=SC2086
done_well 'weights in blocks, as JSON' $bench $small --rows 3 --precision q8 --json
positive q8_gflops out

# bench_refused WHAT PATTERN OPTIONS...
bench_refused() {
    local what=$1 pattern=$2
    shift 2
    # shellcheck disable=SC2086
    refused "$what" 2 "$pattern" $bench $small "$@"
}
bench_refused 'a shape that is none' 'INxOUT' --shapes 512
bench_refused 'a shape with a word' 'INxOUT' --shapes 512xwide
bench_refused 'a shape of nothing' 'INxOUT' --shapes 0x4
bench_refused 'a shape without an end' 'INxOUT' --shapes 4x4,
bench_refused 'a gradient by blocks' 'forward products alone' --precision q8 --ops backward-input
bench_refused 'no rows' 'rows 0: give' --rows 0
bench_refused 'negative rows' 'whole numbers from 1' --rows -4
bench_refused 'rows with blanks' 'parted by commas' --rows '1 2'
bench_refused 'too many rows' 'at most 32' --rows "$(seq -s, 1 33)"
bench_refused 'an unknown operation' 'did you mean forward' --ops foward
bench_refused 'an operation twice' 'twice' --ops forward,forward
bench_refused 'an unknown precision' 'fp32\|bf16\|q8\|q4\|both' --precision fp8
bench_refused 'three numbers of threads' 'one number or two' --threads 1,2,3
bench_refused 'experts of nothing' 'experts is for --grouped' --experts 8
bench_refused 'rows of a group' 'give --tokens' --grouped --rows 8
bench_refused 'one turn' 'repeat' --repeat 1
bench_refused 'an unknown option' 'did you mean --rows' --rowz 1
refused 'two ranks' 2 'one process' "$mpiexec" -n 2 "$ringmoe" bench gemm
refused 'more memory than there is' 1 'are free' "$ringmoe" bench gemm --shapes 1048576x1048576
finish
