#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Compiles a host program of the shared library as its author would, with MPI's own compiler
# wrapper, and runs it on two ranks. Skipped (77) without a wrapper or its compiler.
#   host.sh SOURCE LIBRARY INCLUDE_FOLDER MPIEXEC WRAPPER...      wrappers in order of preference
set -u
source=$1 library=$2 includes=$3 mpiexec=$4
shift 4

folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

case $source in
*.f90)
    language='Fortran' flags="-Wall -J$folder"
    printf 'include "mpif.h"\nend\n' >"$folder/probe.f90"
    probe=$folder/probe.f90
    ;;
*)
    language='C++' flags='-std=c++17 -Wall -Wextra'
    printf '#include <mpi.h>\nint main() { return 0; }\n' >"$folder/probe.cpp"
    probe=$folder/probe.cpp
    ;;
esac

for wrapper in "$@"; do
    "$wrapper" "$probe" -o "$folder/probe" >/dev/null 2>&1 && break
    wrapper=
done
if [ -z "$wrapper" ]; then
    echo "skipped: none of $* compiles an MPI program in $language here"
    exit 77
fi

libraries=$(dirname "$library")
# $flags is a list of words
"$wrapper" $flags -I"$includes" "$source" -o "$folder/host" "$library" \
    -Wl,-rpath,"$libraries" || exit 1
OMP_NUM_THREADS=1 "$mpiexec" -n 2 "$folder/host" || exit 1
echo "passed: a $language program on 2 ranks"
