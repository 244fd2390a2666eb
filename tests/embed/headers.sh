#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each public header compiles alone, as C11 and as C++17, without a warning. MPI's own header is
# a system header here: its warnings are not ours.
#   headers.sh INCLUDE_FOLDER C_COMPILER
# CXX names the C++ compiler (default c++), which may be missing.
set -u
includes=$1 cc=$2 cxx=${CXX:-c++}

mpi_flags=$(pkg-config --cflags mpich 2>/dev/null || pkg-config --cflags ompi 2>/dev/null ||
    mpicc -show | tr ' ' '\n' | grep '^-I')
mpi_flags=$(echo "$mpi_flags" | sed 's/-I */-isystem /g')
warnings='-Wall -Wextra -Wpedantic -Werror'
failures=0

# check COMPILER LANGUAGE STANDARD HEADER
check() {
    # $mpi_flags and $warnings are lists of words
    if ! echo "#include <$4>" |
        $1 -x "$2" -std="$3" $warnings $mpi_flags -I"$includes" -fsyntax-only -; then
        echo "failed: $4 does not compile alone as $3"
        failures=$((failures + 1))
    fi
}

if ! echo 'int main() { return 0; }' | $cxx -x c++ -fsyntax-only - 2>/dev/null; then
    echo "no C++ compiler ($cxx): headers are checked as C only"
    cxx=
fi
cd "$includes" || exit 1
for header in ringmoe.h ringmoe/*.h; do
    check "$cc" c c11 "$header"
    [ -z "$cxx" ] || check "$cxx" c++ c++17 "$header"
done
[ $failures -eq 0 ] && echo "passed: $(ls ringmoe.h ringmoe/*.h | wc -l) headers"
