#!/bin/bash
# SPDX-License-Identifier: MIT
# clang-format would change nothing. Skipped without clang-format 14, since versions differ.
. "$(dirname "$0")/common.sh"

for tool in clang-format-14 clang-format; do
    command -v "$tool" >/dev/null && "$tool" --version | grep -q 'version 14\.' && break
    tool=
done
[ -n "$tool" ] || { echo "skipped: no clang-format 14"; exit 77; }

report < <(c_files include simd src tools tests |
    xargs "$tool" --dry-run --Werror 2>&1 |
    grep -E '^[^ ].*: error: ' |
    awk -F: '!seen[$1]++ { print $1 ":" $2 ": not as clang-format writes it: clang-format -i " $1 }')
finish
