# SPDX-License-Identifier: MIT
# What the lint scripts share. Each is started as `script SOURCE_ROOT`, names every offence as
# file:line: what is wrong and what to do, and ends with status 1 if there was one.

set -u
export LC_ALL=C
cd "${1:?usage: $0 SOURCE_ROOT}" || exit 2
offences=0

# Files of our own under the given paths whose names match a pattern, e.g. files '*.c' src simd
files() {
    local pattern=$1
    shift
    find "$@" \( -name '.git' -o -name 'build*' -type d -o -name 'runs' -o -name '__pycache__' \) \
        -prune -o -type f -name "$pattern" -print | sed 's|^\./||' | sort
}

c_files() {
    { files '*.c' "$@"; files '*.h' "$@"; } | sort
}

# Reads lines "file:line: text" and counts them.
report() {
    local line
    while IFS= read -r line; do
        echo "$line"
        offences=$((offences + 1))
    done
}

finish() {
    [ "$offences" -eq 0 ] && exit 0
    echo "$offences offence(s)"
    exit 1
}
