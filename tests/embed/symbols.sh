#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What the library shows and what it calls: the shared library exports exactly the functions of
# the public headers, and no object of the static one calls what a guest in a process must not.
#   symbols.sh SHARED_LIBRARY STATIC_LIBRARY INCLUDE_FOLDER
set -u
shared=$1 static=$2 includes=$3
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
status=0

nm -D --defined-only "$shared" | awk '{ print $NF }' | sed 's/@.*//' |
    grep -v -x -E '_init|_fini|_edata|_end|__bss_start' | sort -u >"$folder/exported"
cat "$includes"/ringmoe.h "$includes"/ringmoe/*.h | tr '\n' ' ' |
    grep -o 'RINGMOE_API [^;(]*(' | grep -o 'ringmoe_[a-z0-9_]*(' | tr -d '(' |
    sort -u >"$folder/declared"

if ! diff "$folder/declared" "$folder/exported" >"$folder/difference"; then
    echo "failed: '<' is declared but not exported, '>' exported but not declared:"
    cat "$folder/difference"
    status=1
fi

nm -u "$static" | awk '$1 == "U" { print $2 }' | sort -u >"$folder/called"
forbidden='exit|_exit|_Exit|quick_exit|abort|raise|kill|signal|sigaction|atexit'
forbidden="$forbidden|printf|__printf_chk|vprintf|__vprintf_chk|puts|putchar|perror"
forbidden="$forbidden|stdout|stderr|setlocale|setenv|putenv|unsetenv"
forbidden="$forbidden|MPI_Init|MPI_Init_thread|MPI_Finalize|MPI_Abort|omp_set_num_threads"
forbidden="$forbidden|omp_set_dynamic|fesetround|fesetenv|srand|rand|system|fork"
if grep -x -E "$forbidden" "$folder/called" >"$folder/found"; then
    echo "failed: the library calls what a guest must not:"
    cat "$folder/found"
    status=1
fi

[ $status -eq 0 ] && echo "passed: $(wc -l <"$folder/exported") functions exported"
exit $status
