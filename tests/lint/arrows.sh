#!/bin/bash
# SPDX-License-Identifier: MIT
# The include arrows: a folder of src/ sees only itself and the folders before it in
# src/meson.build; tools/ sees only the public headers; only simd/ sees intrinsics.
. "$(dirname "$0")/common.sh"

order=$(grep '^foreach folder' src/meson.build | grep -o "'[a-z]*'" | tr -d "'" | tr '\n' ' ')
[ -n "$order" ] || { echo "src/meson.build:1: no 'foreach folder : [...]' to take the order from"; exit 1; }

# Checks the #include lines of stdin's files; `area` is src, simd, include or tools.
check() {
    xargs -r awk -v area="$1" -v order="$order" '
        BEGIN {
            count = split(order, folders, " ")
            for (i = 1; i <= count; i++) place[folders[i]] = i
        }
        function refuse(why) { printf "%s:%d: includes %s: %s\n", FILENAME, FNR, name, why }
        /^[ \t]*#[ \t]*include/ {
            name = $0
            sub(/^[ \t]*#[ \t]*include[ \t]*/, "", name)
            sub(/[ \t]*(\/\*.*)?$/, "", name)
            bare = substr(name, 2, length(name) - 2)
            split(bare, part, "/")
            quoted = substr(name, 1, 1) == "\""
            folder = part[1]
            if (area != "simd" && bare ~ /intrin\.h$|^arm_(neon|sve|bf16)\.h$/)
                refuse("only simd/ includes intrinsics")
            else if (area == "include" && quoted)
                refuse("a public header includes only <ringmoe/...> and the system")
            else if (area == "include" && bare !~ /^ringmoe\// && bare !~ /^(mpi|stddef|stdint)\.h$/)
                refuse("a public header includes only <ringmoe/...>, mpi.h, stddef.h and stdint.h")
            else if (area == "simd" && quoted && folder != "simd")
                refuse("simd/ includes only simd/")
            else if (area == "tools" && quoted && bare ~ /\//)
                refuse("tools/ includes only its own files and <ringmoe/...>")
            else if (area == "src" && quoted && bare !~ /\//)
                refuse("write the folder, as in \"base/" bare "\"")
            else if (area == "src" && quoted && folder != "simd") {
                split(FILENAME, path, "/")
                if (!(folder in place)) refuse("no such folder in src/meson.build")
                else if (place[folder] > place[path[2]])
                    refuse(path[2] " comes before " folder " in src/meson.build")
            }
        }' | sort
}

for area in src simd include tools; do
    report < <(c_files "$area" | check "$area")
done
finish
