/* SPDX-License-Identifier: MIT
 *
 * The tree is walked from left to right with a stack: the higher the node in which two
 * neighbouring terms meet, the later they are added. They meet at the highest bit in which
 * their experts' numbers differ.
 */
#include "moe/combine.h"

#include <string.h>

enum { MOST_LEVELS = 33, COLUMNS_AT_ONCE = 2048 };

/* Columns of the sums that are not complete. */
typedef struct stack {
    const rm_kernels *kernels;
    int64_t n_columns;
    const rm_real *rows[MOST_LEVELS];
    int levels[MOST_LEVELS]; /* of the node in which an entry meets the one below it */
    rm_real *sums[MOST_LEVELS];
    int n;
} stack;

static int meeting_level(int32_t left, int32_t right)
{
    return 32 - __builtin_clz((unsigned)(left ^ right));
}

/* The two upper entries become one. */
static void add_top(stack *terms)
{
    int left = --terms->n - 1;
    rm_real *sum = terms->sums[left];
    if (terms->rows[left] != sum)
        memcpy(sum, terms->rows[left], (size_t)terms->n_columns * sizeof *sum);
    terms->kernels->add(terms->n_columns, terms->rows[left + 1], sum);
    terms->rows[left] = sum;
}

static void push(stack *terms, int level, const rm_real *row)
{
    while (terms->n > 1 && terms->levels[terms->n - 1] < level) add_top(terms);
    terms->levels[terms->n] = level;
    terms->rows[terms->n++] = row;
}

/* The sum of columns [first, first + n_columns). */
static const rm_real *sum_columns(stack *sums, int64_t first, int n, const rm_term *terms)
{
    sums->n = 0;
    for (int i = 0; i < n; i++)
        push(sums, i ? meeting_level(terms[i - 1].expert, terms[i].expert) : MOST_LEVELS,
             terms[i].row + first);
    while (sums->n > 1) add_top(sums);
    return sums->rows[0];
}

rm_term *rm_combine_terms(const rm_compute *compute)
{
    rm_real *sums = rm_compute_scratch(compute);
    return (rm_term *)(sums + MOST_LEVELS * COLUMNS_AT_ONCE);
}

void rm_combine(const rm_compute *compute, int64_t width, int n, const rm_term *terms, bool add,
                rm_real *y)
{
    rm_real *scratch = rm_compute_scratch(compute);
    stack sums = {.kernels = compute->kernels};
    for (int level = 0; level < MOST_LEVELS; level++)
        sums.sums[level] = scratch + level * COLUMNS_AT_ONCE;
    for (int64_t first = 0; first < width; first += COLUMNS_AT_ONCE) {
        int64_t left = width - first;
        sums.n_columns = left < COLUMNS_AT_ONCE ? left : COLUMNS_AT_ONCE;
        size_t bytes = (size_t)sums.n_columns * sizeof *y;
        if (n == 0) {
            if (!add) memset(y + first, 0, bytes);
            continue;
        }
        if (!add) sums.sums[0] = y + first;
        const rm_real *sum = sum_columns(&sums, first, n, terms);
        if (add)
            compute->kernels->add(sums.n_columns, sum, y + first);
        else if (sum != y + first)
            memcpy(y + first, sum, bytes);
    }
}

int32_t rm_combine_node(int32_t expert, int first, int last, int n_experts)
{
    int64_t start = expert, size = 1;
    while (size < n_experts) {
        int64_t parent = start - start % (2 * size);
        if (parent < first || (parent + 2 * size > last && last < n_experts)) break;
        start = parent;
        size *= 2;
    }
    return (int32_t)start;
}
