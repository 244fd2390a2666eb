#!/bin/bash
# SPDX-License-Identifier: MIT
# Each file of ours that can carry a comment says its licence in its first three lines.
. "$(dirname "$0")/common.sh"

licensed_files() {
    local pattern name
    for pattern in '*.c' '*.h' '*.cpp' '*.f90' '*.py' '*.sh' 'meson.build' '*.txt' '.clang-format' \
        '.gitignore'; do
        files "$pattern" .
    done
    for name in .ci/run tools/quickstart tools/check; do
        [ -e "$name" ] && echo "$name"
    done
}

unlicensed_files() {
    local file
    licensed_files | while IFS= read -r file; do
        head -3 "$file" | grep -q 'SPDX-License-Identifier: MIT' ||
            echo "$file:1: no licence: begin with the line SPDX-License-Identifier: MIT"
    done
}

report < <(unlicensed_files)
finish
