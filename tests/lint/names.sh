#!/bin/bash
# SPDX-License-Identifier: MIT
# The README of a folder of src/ names each of its files, a .c and its .h as one, so that who reads
# it has the whole picture.
. "$(dirname "$0")/common.sh"

# unnamed FOLDER
unnamed() {
    local file name
    while IFS= read -r file; do
        name=$(basename "${file%.*}")
        grep -qE "(^|[^A-Za-z0-9_])$name\.[ch]" "$1/README.md" ||
            echo "$file:1: not named in $1/README.md: say there what it is"
    done < <(c_files "$1")
}

report < <(for folder in src/*/; do unnamed "${folder%/}"; done)
finish
