/* SPDX-License-Identifier: MIT
 *
 * Cutting layers into stages so that the costliest stage is as cheap as can be: the exact
 * optimum by dynamic programming. best[s][i] is the least that the costliest of the first s
 * stages can cost when these have the first i layers:
 *
 *   best[s][i] = min over j <= i of max(best[s - 1][j], cost of layers [j, i))
 *
 * The first term does not fall with j and the second does not rise, so the minimum is where
 * they cross, which a binary search finds.
 */
#include <stdlib.h>

#include "comm/context.h"
#include "pipeline/lists.h"

typedef struct rm_cutting {
    int n_layers, n_stages;
    double first_cost, last_cost;
    double *sums; /* [n_layers + 1]: of the first layers */
    double *best; /* [n_stages + 1][n_layers + 1] */
    int *cuts;    /* [n_stages + 1][n_layers + 1]: the j of the minimum */
} rm_cutting;

static double larger(double a, double b)
{
    return a > b ? a : b;
}

/* Stage number `stage` (from 1) with layers [begin, end). */
static double stage_cost(const rm_cutting *cutting, int stage, int begin, int end)
{
    double cost = cutting->sums[end] - cutting->sums[begin];
    if (stage == 1) cost += cutting->first_cost;
    if (stage == cutting->n_stages) cost += cutting->last_cost;
    return cost;
}

/* The costliest stage, if the first s - 1 stages have j layers and the next has [j, i). */
static double with_cut(const rm_cutting *cutting, int s, int j, int i)
{
    const double *before = cutting->best + (size_t)(s - 1) * ((size_t)cutting->n_layers + 1);
    return larger(before[j], stage_cost(cutting, s, j, i));
}

static void cut_best(rm_cutting *cutting, int s, int i)
{
    const double *before = cutting->best + (size_t)(s - 1) * ((size_t)cutting->n_layers + 1);
    int low = 0, high = i;
    while (low < high) {
        int middle = (low + high) / 2;
        if (before[middle] >= stage_cost(cutting, s, middle, i))
            high = middle;
        else
            low = middle + 1;
    }
    if (low > 0 && with_cut(cutting, s, low - 1, i) <= with_cut(cutting, s, low, i)) low--;
    size_t place = (size_t)s * ((size_t)cutting->n_layers + 1) + (size_t)i;
    cutting->cuts[place] = low;
    cutting->best[place] = with_cut(cutting, s, low, i);
}

static void fill(rm_cutting *cutting, int *bounds)
{
    size_t row = (size_t)cutting->n_layers + 1;
    for (int i = 0; i <= cutting->n_layers; i++) {
        cutting->best[row + (size_t)i] = stage_cost(cutting, 1, 0, i);
        cutting->cuts[row + (size_t)i] = 0;
    }
    for (int s = 2; s <= cutting->n_stages; s++)
        for (int i = 0; i <= cutting->n_layers; i++) cut_best(cutting, s, i);
    bounds[cutting->n_stages] = cutting->n_layers;
    for (int s = cutting->n_stages; s > 0; s--)
        bounds[s - 1] = cutting->cuts[(size_t)s * row + (size_t)bounds[s]];
}

static ringmoe_status check_costs(const double *costs, int n_layers, double first_cost,
                                  double last_cost, int n_stages, const int *bounds,
                                  rm_error *error)
{
    if (n_layers < 0 || n_stages < 1 || !bounds || (n_layers && !costs))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%d layers in %d stages: give costs and bounds that are not NULL, and "
                       "at least one stage",
                       n_layers, n_stages);
    for (int i = 0; i < n_layers; i++)
        if (!(costs[i] >= 0))
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "the cost of layer %d, %g, must not be negative", i, costs[i]);
    if (!(first_cost >= 0 && last_cost >= 0))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "the costs of the first and the last stage, %g and %g, must not be "
                       "negative",
                       first_cost, last_cost);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_partition_layers(ringmoe_context *context, const double *costs,
                                        int n_layers, double first_cost, double last_cost,
                                        int n_stages, int *bounds)
{
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &context->error;
    RM_TRY(check_costs(costs, n_layers, first_cost, last_cost, n_stages, bounds, error));
    rm_cutting cutting = {n_layers, n_stages, first_cost, last_cost, NULL, NULL, NULL};
    size_t row = (size_t)n_layers + 1, cells = row * ((size_t)n_stages + 1);
    cutting.sums = calloc(row, sizeof *cutting.sums);
    cutting.best = calloc(cells, sizeof *cutting.best);
    cutting.cuts = calloc(cells, sizeof *cutting.cuts);
    bool is_ready = cutting.sums && cutting.best && cutting.cuts;
    if (is_ready) {
        for (int i = 0; i < n_layers; i++) cutting.sums[i + 1] = cutting.sums[i] + costs[i];
        fill(&cutting, bounds);
    }
    free(cutting.sums);
    free(cutting.best);
    free(cutting.cuts);
    if (is_ready) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to cut %d layers into %d stages",
                   n_layers, n_stages);
}
