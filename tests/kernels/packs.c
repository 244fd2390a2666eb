/* SPDX-License-Identifier: MIT
 *
 * Checks of the packs. The layout of a panel belongs to the level, so it is read through the
 * tile: multiplied by ones at the right places, a panel gives its elements back exactly.
 *
 *   B[p][j] = (p == first + j)    gives    C[i][j] = sum over p of A[i][p] B[p][j]
 *                                                  = A[i][first + j]
 *
 * Every source (lines, steps), every number of lines, many depths.
 */
#include "operands.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

typedef struct packing {
    check *c;
    const rm_tile_kernels *tiles;
    bool is_a; /* the operand under test */
    operand tested, ones;
    int n; /* its lines that are packed */
} packing;

/* Infinity times the zeros beside a one is NaN: with more than one term, finite numbers only.
 * The huge ones become infinite in bf16. */
static values kind_for(int64_t k, int round)
{
    values kind = (values)(round % N_VALUES);
    bool is_finite = kind != VALUES_SPECIAL && kind != VALUES_HUGE;
    return k == 1 || is_finite ? kind : VALUES_WIDE;
}

static void expect_element(const packing *t, int i, int64_t p, rm_real got)
{
    rm_real want = i < t->n ? operand_value(&t->tested, i, p) : 0;
    bool may_flush = t->tested.bf16 && fabs((double)want) < (double)FLT_MIN;
    if (got == want || (isnan(got) && isnan(want)) || (may_flush && got == 0)) return;
    fail(t->c, "line %d, term %lld is %a, expected %a", i, (long long)p, (double)got,
         (double)want);
}

/* Multiplies the panel by ones that select its terms from `first` on. */
static void check_terms(packing *t, const void *panel, int64_t first)
{
    rm_real got[MAX_ROWS * MAX_COLUMNS];
    int mr = t->tiles->mr, nr = t->tiles->nr, n_taken = t->c->n_taken;
    int64_t k = t->tested.k;
    operand_fill_one_hot(&t->ones, k, first);
    const void *ones = operand_pack(&t->ones, operand_whole(&t->ones), FROM_LINES, 2);
    t->tiles->tile(k, t->is_a ? panel : ones, t->is_a ? ones : panel, got, nr, mr, nr, false,
                   no_memory);
    for (int i = 0; i < t->tested.width; i++)
        for (int j = 0; j < t->ones.width && first + j < k; j++)
            expect_element(t, i, first + j, t->is_a ? got[i * nr + j] : got[j * nr + i]);
    t->c->n_taken = n_taken;
}

static void check_packing(packing *t, int64_t k, int n, pack_way way, int round)
{
    values kind = kind_for(k, round);
    buffers_reset(t->c);
    describe(t->c, "%s from %s, %s values, k %lld, n %d", t->is_a ? "A" : "B",
             way == FROM_LINES ? "lines" : "steps", values_names[kind], (long long)k, n);
    t->n = n;
    operand_fill(&t->tested, kind, k);
    const void *panel =
        operand_pack(&t->tested, (operand_part){.n = n, .k = k}, way, round % N_PLACEMENTS);
    buffers_verify(t->c);
    if (t->tiles->begin) t->tiles->begin();
    for (int64_t first = 0; first < k; first += t->ones.width) check_terms(t, panel, first);
    if (t->tiles->end) t->tiles->end();
}

/* Every number of lines; of long ones, the least and the two greatest. */
static void check_depth(packing *t, int64_t k)
{
    int width = t->tested.width, round = 0;
    for (int n = 1; n <= width; n++)
        for (int way = FROM_LINES; way <= FROM_STEPS; way++)
            for (int kind = 0; kind < (k == 1 ? N_VALUES : 1); kind++, round++)
                if (k <= 2 * MAX_DEPTH_STEP + 1 || n == 1 || n >= width - 1)
                    check_packing(t, k, n, (pack_way)way, (int)k + round + kind);
}

void check_packs(check *c, const rm_tile_kernels *tiles, bool bf16)
{
    const int64_t step = tiles->depth_step;
    const int64_t depths[] = {0,  1,        2,        3,        7,  8,  9,  15, 16, 17,
                              31, step - 1, step + 1, 2 * step, 33, 47, 64, 67, 300};
    describe(c, "its sizes");
    packing *t = malloc(sizeof *t);
    if (!t) fail(c, "no memory for the operands");
    for (int side = 0; t && side < 2 && operands_fit(c, tiles); side++) {
        t->c = c, t->tiles = tiles, t->is_a = side == 0;
        operand_init_a(t->is_a ? &t->tested : &t->ones, c, tiles, bf16);
        operand_init_b(t->is_a ? &t->ones : &t->tested, c, tiles, bf16);
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) check_depth(t, depths[d]);
    }
    free(t);
}
