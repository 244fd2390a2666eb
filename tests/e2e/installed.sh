#!/bin/bash
# SPDX-License-Identifier: MIT
# The installed library: a program of another project compiles with what pkg-config says, and the
# installed command runs. Fourth argument: the build folder; fifth: meson.
. "$(dirname "$0")/common.sh"

build=$4
meson=$5
command -v pkg-config >/dev/null || { echo "skipped: no pkg-config"; exit 77; }
"$meson" install -C "$build" --no-rebuild --destdir "$work/root" >install.log 2>&1 ||
    fail "meson install: $(tail -3 install.log)"
file=$(find root -name ringmoe.pc)
[ -n "$file" ] || { fail "no ringmoe.pc was installed"; finish; }
prefix=$(sed -n 's/^prefix=//p' "$file")
export PKG_CONFIG_PATH="$work/${file%/*}"
read -r -a flags <<<"$(pkg-config --define-variable=prefix="$work/root$prefix" --cflags --libs ringmoe)"
cat >program.c <<'C'
#include <ringmoe.h>
#include <stdio.h>
int main(void)
{
    return printf("%s %s\n", ringmoe_version(), ringmoe_status_text(RINGMOE_OK)) < 0;
}
C
library=$(dirname "$(find root -name 'libringmoe.so*' -o -name 'libringmoe*.dylib' | head -1)")
read -r -a compiler <<<"${CC:-cc}"
"${compiler[@]}" program.c -o program "${flags[@]}" >compile.log 2>&1 ||
    fail "a program does not compile with ${flags[*]}: $(cat compile.log)"
export LD_LIBRARY_PATH="$work/$library"
done_well 'the program' ./program
has '^[0-9]+\.[0-9]+\.[0-9]+ ok$' out
done_well 'the installed command' "$(find root -name ringmoe -type f -path '*/bin/*')" --version
finish
