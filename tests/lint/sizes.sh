#!/bin/bash
# SPDX-License-Identifier: MIT
# A file past 800 lines holds a second idea.
. "$(dirname "$0")/common.sh"

report < <(c_files include simd src tools tests | xargs wc -l |
    awk '$2 != "total" && $1 > 800 { print $2 ":" $1 ": longer than 800 lines: split it" }')
finish
