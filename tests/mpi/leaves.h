/* SPDX-License-Identifier: MIT
 *
 * Leaves of a reduction tree that every rank can make for itself, and their sum by the
 * recursive definition in comm/tree.h.
 */
#ifndef LEAVES_H
#define LEAVES_H

#include "check.h"
#include "simd/real.h"

/* Element `i` of a leaf: numbers of very different sizes, so that the order of a sum shows. */
static inline rm_real leaf_element(uint64_t seed, int leaf, int64_t i)
{
    uint64_t state = (seed + 1) * 0x9E3779B97F4A7C15u ^
                     ((uint64_t)leaf + 1) * 0xD1B54A32D192ED03u ^
                     ((uint64_t)i + 1) * 0x94D049BB133111EBu;
    check_random(&state);
    check_random(&state);
    int32_t digits = (int32_t)check_random(&state);
    return (rm_real)digits / (rm_real)(1 << (check_random(&state) % 24));
}

static inline rm_real node_sum(uint64_t seed, int first, int n_leaves, int64_t i)
{
    if (n_leaves == 1) return leaf_element(seed, first, i);
    return node_sum(seed, first, n_leaves / 2, i) +
           node_sum(seed, first + n_leaves / 2, n_leaves / 2, i);
}

/* Left to right over the binary digits of n_leaves: the maximal aligned nodes. */
static inline rm_real tree_sum(uint64_t seed, int n_leaves, int64_t i)
{
    rm_real total = 0;
    int first = 0;
    for (int size = 1 << 20; size; size /= 2) {
        if (!(n_leaves & size)) continue;
        rm_real node = node_sum(seed, first, size, i);
        total = first ? total + node : node;
        first += size;
    }
    return total;
}

#endif
