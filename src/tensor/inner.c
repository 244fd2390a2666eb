/* SPDX-License-Identifier: MIT */
#include "tensor/inner.h"

rm_inner_cut rm_inner_cut_of(int64_t n_units, int64_t unit, int ranks, int rank)
{
    rm_inner_cut cut = {0};
    if (ranks < 1 || RM_INNER_BLOCKS % ranks) return cut;
    cut.n = RM_INNER_BLOCKS / ranks;
    int64_t first = n_units * (rank * cut.n) / RM_INNER_BLOCKS;
    for (int b = 0; b <= cut.n; b++)
        cut.bounds[b] = (n_units * (rank * cut.n + b) / RM_INNER_BLOCKS - first) * unit;
    return cut;
}

int rm_inner_joins(int block)
{
    int joins = 0;
    for (int end = block + 1; end % 2 == 0; end /= 2) joins++;
    return joins;
}
