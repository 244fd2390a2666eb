/* SPDX-License-Identifier: MIT
 *
 * One check for every row kernel: on each kind of values and each length,
 *
 *   1. the result is near the reference, and inputs and surroundings are untouched;
 *   2. it has the same bits wherever the operands lie;
 *   3. of an element-wise kernel, also when the row is cut in two;
 *   4. and when an output is the memory of an input it may share.
 */
#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ARRAYS = 5, MAX_LENGTH = 32000, MAX_ELEMENTS = 2 * MAX_LENGTH };

/* The long ones, of real models, on few kinds of values. */
enum { LONG_LENGTH = 2000 };
static const int64_t row_lengths[] = {0,   1,   2,   3,   4,    5,    7,    8,     9,
                                      13,  15,  16,  17,  31,   32,   33,   61,    64,
                                      127, 128, 131, 509, 1024, 1408, 2816, 14336, 32000};

/* The operands of a case as they were, and as a first run left them. */
typedef struct row_case {
    check *c;
    const row_kernel *kernel;
    int64_t n;
    rm_real *before[MAX_ARRAYS], *after[MAX_ARRAYS];
    double result;
} row_case;

static bool is_written(const row_kernel *kernel, int array)
{
    return kernel->written >> array & 1;
}

/* Copies of all operands into watched memory. alias[a] >= 0: array a lies where that one does.
 */
static void place_operands(const row_case *row, int placement, const int *alias,
                           rm_real *placed[MAX_ARRAYS])
{
    buffers_reset(row->c);
    for (int a = 0; a < row->kernel->n_arrays; a++) {
        if (alias && alias[a] >= 0) continue;
        int64_t length = row->kernel->lengths[a] * row->n;
        placed[a] = buffer_take(row->c, placement, length, sizeof(rm_real));
        memcpy(placed[a], row->before[a], (size_t)length * sizeof(rm_real));
    }
    for (int a = 0; a < row->kernel->n_arrays; a++)
        if (alias && alias[a] >= 0) placed[a] = placed[alias[a]];
}

static void expect_inputs_untouched(const row_case *row, rm_real *const placed[])
{
    for (int a = 0; a < row->kernel->n_arrays; a++)
        if (!is_written(row->kernel, a))
            expect_copy(row->c, "an input",
                        (size_t)(row->kernel->lengths[a] * row->n) * sizeof(rm_real), placed[a],
                        row->before[a]);
}

static void expect_first_outputs(const row_case *row, rm_real *const placed[], const char *name)
{
    for (int a = 0; a < row->kernel->n_arrays; a++)
        if (is_written(row->kernel, a))
            expect_same(row->c, name, row->kernel->lengths[a] * row->n, placed[a],
                        row->after[a]);
}

static void expect_first_run(const row_case *row, rm_real *const placed[], double result,
                             const char *name)
{
    expect_first_outputs(row, placed, name);
    rm_real got = (rm_real)result, want = (rm_real)row->result;
    expect_same(row->c, name, 1, &got, &want);
}

static void check_placements(row_case *row)
{
    rm_real *placed[MAX_ARRAYS];
    for (int placement = 0; placement < N_PLACEMENTS; placement++) {
        place_operands(row, placement, NULL, placed);
        double result = row->kernel->run(row->c->kernels, row->n, placed);
        buffers_verify(row->c);
        expect_inputs_untouched(row, placed);
        if (placement > 0) {
            expect_first_run(row, placed, result, "at another address, output");
            continue;
        }
        row->result = result;
        for (int a = 0; a < row->kernel->n_arrays; a++)
            memcpy(row->after[a], placed[a],
                   (size_t)(row->kernel->lengths[a] * row->n) * sizeof(rm_real));
        row->kernel->expect(row->c, row->n, row->before, row->after, result);
    }
}

static void check_parts(const row_case *row)
{
    int64_t cut = (int64_t)(random_bits(row->c) % (uint64_t)row->n);
    rm_real *placed[MAX_ARRAYS], *rest[MAX_ARRAYS];
    place_operands(row, 2, NULL, placed);
    for (int a = 0; a < row->kernel->n_arrays; a++) rest[a] = placed[a] + cut;
    row->kernel->run(row->c->kernels, cut, placed);
    row->kernel->run(row->c->kernels, row->n - cut, rest);
    buffers_verify(row->c);
    expect_first_outputs(row, placed, "in two parts, output");
}

/* One pair alone, or with `all` every pair at once. */
static void check_alias(const row_case *row, int pair, bool all)
{
    int alias[MAX_ARRAYS] = {-1, -1, -1, -1, -1};
    for (int p = 0; p < 3; p++)
        if (p == pair || all)
            if (row->kernel->aliases[p][0]) /* an output is never operand 0 */
                alias[row->kernel->aliases[p][0]] = row->kernel->aliases[p][1];
    rm_real *placed[MAX_ARRAYS];
    place_operands(row, 0, alias, placed);
    double result = row->kernel->run(row->c->kernels, row->n, placed);
    buffers_verify(row->c);
    expect_first_run(row, placed, result, "in place, output");
}

static void check_case(row_case *row, values kind)
{
    const row_kernel *kernel = row->kernel;
    describe(row->c, "%s values, n %lld", values_names[kind], (long long)row->n);
    for (int a = 0; a < kernel->n_arrays; a++)
        fill_values(row->c, kind, kernel->lengths[a] * row->n, row->before[a]);
    if (kernel->prepare) kernel->prepare(row->c, row->n, row->before);
    check_placements(row);
    if (kernel->elementwise && row->n > 1) check_parts(row);
    int n_pairs = 0;
    while (n_pairs < 3 && kernel->aliases[n_pairs][0]) check_alias(row, n_pairs++, false);
    if (n_pairs > 1 && kernel->aliases[0][0] != kernel->aliases[1][0])
        check_alias(row, 0, true);
}

void check_row_kernel(check *c, const row_kernel *kernel)
{
    rm_real *memory = malloc(2 * MAX_ARRAYS * MAX_ELEMENTS * sizeof *memory);
    if (!memory) {
        fail(c, "no memory for the operands");
        return;
    }
    row_case row = {.c = c, .kernel = kernel};
    for (int a = 0; a < MAX_ARRAYS; a++) {
        row.before[a] = memory + 2 * a * MAX_ELEMENTS;
        row.after[a] = row.before[a] + MAX_ELEMENTS;
    }
    for (values kind = 0; kind < N_VALUES; kind++)
        for (size_t i = 0; i < sizeof row_lengths / sizeof *row_lengths; i++) {
            row.n = row_lengths[i];
            bool is_long = row.n > LONG_LENGTH && kind != VALUES_UNIT && kind != VALUES_WIDE;
            if (kernel->kinds >> kind & 1 && !is_long) check_case(&row, kind);
        }
    free(memory);
}
