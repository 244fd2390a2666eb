/* SPDX-License-Identifier: MIT
 *
 * Which experts of a layer are worth a copy on every rank of the expert axis: the cost model of
 * FasterMoE (He et al. 2022). Of the ranks of the axis one has the most rows to compute and one
 * the most to fetch; a step of the layer takes
 *
 *   3 * row_seconds * (most rows computed) + 4 * row_bytes * byte_seconds * (most rows fetched)
 *     + (times an expert's weights travel) * expert_bytes * copied_byte_seconds * (copied
 * experts)
 *
 * since the backward pass costs two forward ones and rows travel there and back, forward and
 * backward. Of a copied expert each rank computes the rows of its own tokens, none travels; its
 * weights go out once a step, whether they did in the last one or not, and its gradients come
 * back once a microbatch.
 */
#ifndef RM_SHADOW_COSTS_H
#define RM_SHADOW_COSTS_H

#include "moe/layer.h"

typedef struct rm_shadow_costs {
    int n_experts, expert_ranks;
    int n_replicas;     /* data ranks, which share the counts evenly */
    int n_microbatches; /* of a rank */
    double row_bytes, expert_bytes;
    double row_seconds;         /* a row's forward products in an expert */
    double byte_seconds;        /* a byte of a row's way to another rank */
    double copied_byte_seconds; /* likewise of a copied expert */
} rm_shadow_costs;

/* Seconds of a layer whose experts have these counts, with these copies. Pure. */
double rm_shadow_seconds(const rm_shadow_costs *costs, const double *counts,
                         const rm_shadows *shadows);
/* The copies that make it shortest, of the hottest experts of ranks with most rows. None where
 * a rate is not known (0). Pure. */
rm_shadows rm_shadows_best(const rm_shadow_costs *costs, const double *counts);
/* The same, but `current` as long as the best gain so little more that rates and counts may
 * deceive. Pure. */
rm_shadows rm_shadows_worthwhile(const rm_shadow_costs *costs, const double *counts,
                                 const rm_shadows *current);
/* The hottest experts that have rows; of equals the first. Pure. */
rm_shadows rm_shadows_hottest(int n_experts, const double *counts);

#endif
