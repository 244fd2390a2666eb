/* SPDX-License-Identifier: MIT
 *
 * A product tile by BFMMLA (operands: bfmmla.h). The sums stay in registers as squares of two
 * rows by two columns until the depth is done; then each pair of rows is unzipped and stored:
 *
 *   squares of rows i, i+1    | c00 c01 c10 c11 | c02 c03 c12 c13 |
 *   row i, row i+1            | c00 c01 c02 c03 |,| c10 c11 c12 c13 |
 */
#include "simd/neonbf16/bfmmla.h"
#include "simd/vec_neon.h"
#include "simd/vector/loop.h"

enum {
    PAIRS_OF_ROWS = BFMMLA_ROWS / 2,
    PAIRS_OF_COLUMNS = BFMMLA_COLUMNS / 2,
    A_STEP = PAIRS_OF_ROWS * BFMMLA_OPERAND,
    B_STEP = PAIRS_OF_COLUMNS * BFMMLA_OPERAND,
};

typedef struct tile_target {
    rm_real *c;
    int64_t c_row;
    int m, n;
    bool add;
} tile_target;

static inline bfloat16x8_t load_operand(const rm_bf16 *p)
{
    return vreinterpretq_bf16_u16(vld1q_u16(p));
}

/* The low halves of two squares, or the high ones: four sums of one row. */
static inline vec row_of_squares(vec left, vec right, const bool high)
{
    float64x2_t first = vreinterpretq_f64_f32(left), second = vreinterpretq_f64_f32(right);
    float64x2_t row = high ? vtrn2q_f64(first, second) : vtrn1q_f64(first, second);
    return vreinterpretq_f32_f64(row);
}

/* A row of fewer columns than the tile has; out of line, for a tile has many rows. */
static __attribute__((noinline)) void store_part(const rm_real *sums, rm_real *c, int n,
                                                 bool add)
{
    for (int j = 0; j < n; j++) c[j] = add ? c[j] + sums[j] : sums[j];
}

BODY store_row(const vec squares[PAIRS_OF_COLUMNS], const bool high, rm_real *c,
               const tile_target *target)
{
    rm_real part[BFMMLA_COLUMNS];
    bool whole = target->n == BFMMLA_COLUMNS;
    FOR_UNROLLED (j, PAIRS_OF_COLUMNS / 2) {
        vec sums = row_of_squares(squares[2 * j], squares[2 * j + 1], high);
        if (whole && target->add) sums = vec_add(vec_load(c + j * VEC_WIDTH), sums);
        vec_store((whole ? c : part) + j * VEC_WIDTH, sums);
    }
    if (!whole) store_part(part, c, target->n, target->add);
}

/* The share of a step's terms, as much as a step of B. */
BODY ask_ahead(rm_ahead ahead, int64_t p)
{
    enum { CACHE_LINE = 64 };
    for (int64_t line = 0; line < B_STEP * (int64_t)sizeof(rm_bf16); line += CACHE_LINE)
        __builtin_prefetch((const char *)ahead.start + p * ahead.step + line);
}

BODY tile_of_pairs(const int pairs, int64_t k, const rm_bf16 *a, const rm_bf16 *b,
                   rm_ahead ahead, const tile_target *target)
{
    vec sums[PAIRS_OF_ROWS][PAIRS_OF_COLUMNS];
    FOR_UNROLLED (i, pairs)
        FOR_UNROLLED (j, PAIRS_OF_COLUMNS) sums[i][j] = vec_all(0);
    for (int64_t p = 0; p < k; p += BFMMLA_DEPTH, a += A_STEP, b += B_STEP) {
        ask_ahead(ahead, p);
        FOR_UNROLLED (j, PAIRS_OF_COLUMNS) {
            bfloat16x8_t columns = load_operand(b + j * BFMMLA_OPERAND);
            FOR_UNROLLED (i, pairs) {
                bfloat16x8_t rows = load_operand(a + i * BFMMLA_OPERAND);
                sums[i][j] = vbfmmlaq_f32(sums[i][j], rows, columns);
            }
        }
    }
    FOR_UNROLLED (i, pairs) {
        rm_real *c = target->c + 2 * i * target->c_row;
        store_row(sums[i], false, c, target);
        if (2 * i + 1 < target->m) store_row(sums[i], true, c + target->c_row, target);
    }
}

void rm_tile_bfmmla(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row, int m,
                    int n, bool add, rm_ahead ahead)
{
    const tile_target target = {c, c_row, m, n, add};
    switch ((m + 1) / 2) {
    case 1:
        tile_of_pairs(1, k, a, b, ahead, &target);
        break;
    case 2:
        tile_of_pairs(2, k, a, b, ahead, &target);
        break;
    case 3:
        tile_of_pairs(3, k, a, b, ahead, &target);
        break;
    default:
        tile_of_pairs(PAIRS_OF_ROWS, k, a, b, ahead, &target);
    }
}

/* As many sums as a tile has, so that each waits for itself alone as it does there. */
double rm_peak_bfmmla(int64_t rounds)
{
    enum { OPERATIONS = PAIRS_OF_ROWS * PAIRS_OF_COLUMNS * 2 * 2 * 2 * BFMMLA_DEPTH };
    int64_t turns = rounds * 1000 / OPERATIONS + 1;
    bfloat16x8_t a = vreinterpretq_bf16_u16(vdupq_n_u16(0x3F7F));
    bfloat16x8_t b = vreinterpretq_bf16_u16(vdupq_n_u16(0x3C23));
    vec sums[PAIRS_OF_ROWS][PAIRS_OF_COLUMNS];
    FOR_UNROLLED (i, PAIRS_OF_ROWS)
        FOR_UNROLLED (j, PAIRS_OF_COLUMNS)
            sums[i][j] = vec_all((rm_real)(i * PAIRS_OF_COLUMNS + j));
    for (int64_t turn = 0; turn < turns; turn++)
        FOR_UNROLLED (i, PAIRS_OF_ROWS)
            FOR_UNROLLED (j, PAIRS_OF_COLUMNS) sums[i][j] = vbfmmlaq_f32(sums[i][j], a, b);
    FOR_UNROLLED (i, PAIRS_OF_ROWS)
        FOR_UNROLLED (j, PAIRS_OF_COLUMNS) __asm__ volatile("" : : "w"(sums[i][j]));
    return (double)turns * OPERATIONS;
}
