#!/bin/bash
# SPDX-License-Identifier: MIT
# A library's manners: it prints nothing, ends no process, and touches neither MPI_COMM_WORLD nor
# what belongs to the program it is in. Comments may name these things.
. "$(dirname "$0")/common.sh"

calls='MPI_Init|MPI_Init_thread|MPI_Finalize|MPI_Abort|printf|vprintf|puts|putchar|perror|exit|_exit|abort'
calls="$calls|signal|sigaction|omp_set_num_threads|openblas_set_num_threads|setenv|putenv"
forbidden="(^|[^A-Za-z0-9_])(MPI_COMM_WORLD|stdout|stderr|($calls)[ \t]*\\()"

# Blanks out comments and texts, then looks for the words as whole identifiers.
report < <(c_files include simd src | xargs awk -v forbidden="$forbidden" '
    FNR == 1 { inside = 0 }
    {
        line = $0
        gsub(/\\"/, "", line)
        gsub(/"[^"]*"/, "\"\"", line)
        out = ""
        while (line != "") {
            if (inside) {
                at = index(line, "*/")
                if (!at) break
                line = substr(line, at + 2)
                inside = 0
            } else {
                at = index(line, "/*")
                if (!at) { out = out line; break }
                out = out substr(line, 1, at - 1)
                line = substr(line, at + 2)
                inside = 1
            }
        }
        sub(/\/\/.*/, "", out)
        if (match(out, forbidden)) {
            word = substr(out, RSTART, RLENGTH)
            gsub(/[^A-Za-z0-9_]/, "", word)
            print FILENAME ":" FNR ": " word ": a library leaves this to its caller"
        }
    }')
finish
