#!/bin/bash
# SPDX-License-Identifier: MIT
# The top of the tree holds only what it was given, and each folder of src/ has its README.
. "$(dirname "$0")/common.sh"

allowed=' include simd src tools tests README.md meson.build LICENSE CHANGELOG.md meson_options.txt '

foreign_names() {
    local name
    for name in *; do
        case "$allowed" in *" $name "*) continue ;; esac
        git check-ignore -q "$name" 2>/dev/null && continue
        case "$name" in build* | runs) continue ;; esac
        echo "$name:1: does not belong at the top: move it into a folder"
    done
}

missing_guides() {
    local folder
    for folder in src/*/ tools/; do
        [ -e "${folder}README.md" ] || echo "${folder}README.md:1: missing: say what the folder is, what it may include, where to start"
    done
}

report < <(foreign_names)
report < <(missing_guides)
finish
