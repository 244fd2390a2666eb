/* SPDX-License-Identifier: MIT
 *
 * Product tiles over the vector vocabulary: the sums of C stay in registers while p runs.
 *
 *                      B row p:  | vector 0 | vector 1 | ..     loaded once a step
 *   A[0][p] broadcast  x           sums 0,0   sums 0,1
 *   A[1][p] broadcast  x           sums 1,0   sums 1,1
 *   ..  TILE_ROWS
 *
 * All columns of the panel are computed, its zero ones too; only n of them are stored. A packed
 * panel of A is [p][TILE_ROWS] numbers, of B [p][TILE_COLUMNS] numbers or bf16; bf16 is widened
 * on load.
 */
#ifndef RM_VECTOR_TILE_H
#define RM_VECTOR_TILE_H

#include "simd/kernels.h"
#include "simd/vector/loop.h"

enum { TILE_COLUMNS = TILE_VECTORS * VEC_WIDTH };

enum { CACHE_LINE = 64 };

typedef enum tile_kind { TILE_FP32, TILE_BF16, TILE_IN_PLACE } tile_kind;

typedef struct tile_source {
    const rm_real *a;
    int64_t a_row, a_col; /* of A in place: A[i][p] = a[i * a_row + p * a_col] */
    const void *b;
    rm_ahead ahead;
} tile_source;

typedef struct tile_target {
    rm_real *c;
    int64_t c_row;
    int n;
    bool add;
} tile_target;

/* --- a term ------------------------------------------------------------------------------- */
/* Asks for as much as `bytes` of B, the share of term p. */
BODY tile_prefetch(rm_ahead ahead, int64_t p, int64_t bytes)
{
    for (int64_t line = 0; line < bytes; line += CACHE_LINE)
        __builtin_prefetch((const char *)ahead.start + p * ahead.step + line);
}

static inline tile_row tile_row_load(const rm_real *p)
{
    tile_row row;
    FOR_UNROLLED (v, TILE_VECTORS) row.v[v] = vec_load(p + v * VEC_WIDTH);
    return row;
}

/* One row of fp32 does so little that the processor's own prefetchers keep up, and do better.
 */
BODY tile_ask_ahead(const tile_kind kind, const int m, rm_ahead ahead, int64_t p)
{
    if (kind == TILE_BF16) tile_prefetch(ahead, p, TILE_COLUMNS * sizeof(rm_bf16));
    if (kind == TILE_FP32 && m > 1) tile_prefetch(ahead, p, TILE_COLUMNS * sizeof(rm_real));
}

static inline __attribute__((always_inline)) tile_row tile_row_of_term(const tile_kind kind,
                                                                       const void *b, int64_t p)
{
    if (kind == TILE_BF16) return tile_row_load_bf16((const rm_bf16 *)b + p * TILE_COLUMNS);
    return tile_row_load((const rm_real *)b + p * TILE_COLUMNS);
}

BODY tile_multiply_packed(const int m, const rm_real *a, tile_row b, tile_row sums[TILE_ROWS])
{
    tile_column column = tile_column_load(a);
    FOR_UNROLLED (i, m)
        FOR_UNROLLED (v, TILE_VECTORS)
            sums[i].v[v] = tile_column_fma(column, i, b.v[v], sums[i].v[v]);
}

BODY tile_multiply_in_place(const int m, const rm_real *a, int64_t a_row, tile_row b,
                            tile_row sums[TILE_ROWS])
{
    FOR_UNROLLED (i, m) {
        vec lanes = vec_all(a[i * a_row]);
        FOR_UNROLLED (v, TILE_VECTORS) sums[i].v[v] = vec_fma(lanes, b.v[v], sums[i].v[v]);
    }
}

/* --- the sums' way out -------------------------------------------------------------------- */
BODY tile_row_store(tile_row row, rm_real *c, bool add)
{
    FOR_UNROLLED (v, TILE_VECTORS) {
        rm_real *at = c + v * VEC_WIDTH;
        vec_store(at, add ? vec_add(vec_load(at), row.v[v]) : row.v[v]);
    }
}

/* Fewer than TILE_COLUMNS columns, from memory. */
static __attribute__((noinline)) void tile_store_part(int m, const rm_real *sums,
                                                      const tile_target *target)
{
    for (int i = 0; i < m; i++)
        for (int first = 0; first < target->n; first += VEC_WIDTH) {
            int count = target->n - first;
            rm_real *at = target->c + i * target->c_row + first;
            vec value = vec_load(sums + i * TILE_COLUMNS + first);
            if (target->add) value = vec_add(vec_load_first(at, count), value);
            vec_store_first(at, count, value);
        }
}

BODY tile_store(const int m, const tile_row sums[TILE_ROWS], const tile_target *target)
{
    if (target->n == TILE_COLUMNS) {
        FOR_UNROLLED (i, m) tile_row_store(sums[i], target->c + i * target->c_row, target->add);
        return;
    }
    rm_real beside[TILE_ROWS * TILE_COLUMNS];
    FOR_UNROLLED (i, m) tile_row_store(sums[i], beside + i * TILE_COLUMNS, false);
    tile_store_part(m, beside, target);
}

/* --- tiles -------------------------------------------------------------------------------- */
BODY tile_of_rows(const tile_kind kind, const int m, int64_t k, const tile_source *source,
                  const tile_target *target)
{
    tile_row sums[TILE_ROWS];
    FOR_UNROLLED (i, m)
        FOR_UNROLLED (v, TILE_VECTORS) sums[i].v[v] = vec_all(0);
    FOR_TERMS (p, k) {
        tile_row b = tile_row_of_term(kind, source->b, p);
        tile_ask_ahead(kind, m, source->ahead, p);
        if (kind == TILE_IN_PLACE)
            tile_multiply_in_place(m, source->a + p * source->a_col, source->a_row, b, sums);
        else
            tile_multiply_packed(m, source->a + p * TILE_ROWS, b, sums);
    }
    if (kind == TILE_BF16)
        FOR_UNROLLED (i, m) sums[i] = tile_row_restore(sums[i]);
    tile_store(m, sums, target);
}

/* One function a number of rows, so that the sums are named registers in each; those beyond
 * TILE_ROWS are empty. */
typedef void tile_function(int64_t k, const tile_source *source, const tile_target *target);
#define TILE_OF_ROWS(name, kind, rows)                                                         \
    static void name##_##rows(int64_t k, const tile_source *source, const tile_target *target) \
    {                                                                                          \
        if (rows <= TILE_ROWS) tile_of_rows(kind, rows, k, source, target);                    \
    }
#define TILE_OF_ALL_ROWS(name, kind)                                                           \
    TILE_OF_ROWS(name, kind, 1)                                                                \
    TILE_OF_ROWS(name, kind, 2)                                                                \
    TILE_OF_ROWS(name, kind, 3)                                                                \
    TILE_OF_ROWS(name, kind, 4)                                                                \
    TILE_OF_ROWS(name, kind, 5)                                                                \
    TILE_OF_ROWS(name, kind, 6)                                                                \
    TILE_OF_ROWS(name, kind, 7)                                                                \
    TILE_OF_ROWS(name, kind, 8)                                                                \
    TILE_OF_ROWS(name, kind, 9)                                                                \
    TILE_OF_ROWS(name, kind, 10)                                                               \
    TILE_OF_ROWS(name, kind, 11)                                                               \
    TILE_OF_ROWS(name, kind, 12)                                                               \
    TILE_OF_ROWS(name, kind, 13)                                                               \
    TILE_OF_ROWS(name, kind, 14)                                                               \
    OPTIONAL tile_function *const name##_of_rows[] = {                                         \
        name##_1, name##_2, name##_3,  name##_4,  name##_5,  name##_6,  name##_7,              \
        name##_8, name##_9, name##_10, name##_11, name##_12, name##_13, name##_14}
_Static_assert(TILE_ROWS <= 14, "there are no more functions");

TILE_OF_ALL_ROWS(tile_fp32, TILE_FP32);
TILE_OF_ALL_ROWS(tile_bf16, TILE_BF16);
TILE_OF_ALL_ROWS(tile_in_place, TILE_IN_PLACE);

OPTIONAL void tile_fp32(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,
                        int m, int n, bool add, rm_ahead ahead)
{
    tile_fp32_of_rows[m - 1](k, &(tile_source){.a = a, .b = b, .ahead = ahead},
                             &(tile_target){c, c_row, n, add});
}

OPTIONAL void tile_bf16(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,
                        int m, int n, bool add, rm_ahead ahead)
{
    tile_bf16_of_rows[m - 1](k, &(tile_source){.a = a, .b = b, .ahead = ahead},
                             &(tile_target){c, c_row, n, add});
}

static void tile_in_place(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col,
                          const void *b, rm_real *c, int64_t c_row, int m, int n, bool add)
{
    tile_in_place_of_rows[m - 1](k,
                                 &(tile_source){.a = a, .a_row = a_row, .a_col = a_col, .b = b},
                                 &(tile_target){c, c_row, n, add});
}

/* The tile's loop without its loads. */
OPTIONAL double tile_peak(int64_t rounds)
{
    enum { OPERATIONS = 2 * TILE_ROWS * TILE_COLUMNS };
    tile_row sums[TILE_ROWS], b;
    FOR_UNROLLED (v, TILE_VECTORS) b.v[v] = vec_all((rm_real)0.01 * (rm_real)(v + 1));
    FOR_UNROLLED (i, TILE_ROWS) /* all different, or the compiler would compute some only */
        FOR_UNROLLED (v, TILE_VECTORS) sums[i].v[v] = vec_all((rm_real)(i * TILE_VECTORS + v));
    int64_t steps = rounds * 1000 / OPERATIONS;
    for (int64_t p = 0; p < steps; p++)
        FOR_UNROLLED (i, TILE_ROWS)
            FOR_UNROLLED (v, TILE_VECTORS) sums[i].v[v] = vec_fma(b.v[0], b.v[v], sums[i].v[v]);
    volatile rm_real kept; /* or the compiler would compute nothing */
    FOR_UNROLLED (i, TILE_ROWS)
        FOR_UNROLLED (v, TILE_VECTORS) kept = vec_sum(sums[i].v[v]);
    (void)kept;
    return (double)steps * OPERATIONS;
}

#endif
