#!/bin/bash
# SPDX-License-Identifier: MIT
# What users start and submit is free of what shellcheck knows to go wrong.
. "$(dirname "$0")/common.sh"

command -v shellcheck >/dev/null || { echo "skipped: no shellcheck"; exit 77; }
report < <(shellcheck -x -f gcc tools/check tools/quickstart tools/slurm/*.sbatch | grep -v ' note: ')
finish
