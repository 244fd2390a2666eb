/* SPDX-License-Identifier: MIT
 *
 * Panels for BFMMLA (drawn in bfmmla.h), rounded to bf16 by BFCVTN. A and B differ in the
 * number of their lines alone.
 */
#include "simd/neonbf16/bfmmla.h"
#include "simd/vec_neon.h"
#include "simd/vector/loop.h"

/* --- lines: an operand is four terms of one line, then of the next --------------------------
 */
static inline uint16x8_t round_two(vec first, vec second)
{
    bfloat16x8_t low = vcvtq_low_bf16_f32(first);
    return vreinterpretq_u16_bf16(vcvtq_high_bf16_f32(low, second));
}

BODY pack_pair(int64_t p, int64_t count, const rm_real *line, const rm_real *next, int64_t step,
               rm_bf16 *panel)
{
    vec low = line ? vec_load_first(line + p, count) : vec_all(0);
    vec high = next ? vec_load_first(next + p, count) : vec_all(0);
    vst1q_u16(panel + p / BFMMLA_DEPTH * step, round_two(low, high));
}

/* A pair of lines at a time, the whole depth: two sources that are read in order. */
BODY pack_lines(const int lines_of_panel, int64_t k, int n_lines, const rm_real *const *lines,
                rm_bf16 *panel)
{
    for (int i = 0; i < lines_of_panel; i += 2, panel += BFMMLA_OPERAND) {
        const rm_real *line = i < n_lines ? lines[i] : NULL;
        const rm_real *next = i + 1 < n_lines ? lines[i + 1] : NULL;
        FOR_EACH_STEP(BFMMLA_DEPTH, k, pack_pair, line, next,
                      (int64_t)lines_of_panel * BFMMLA_DEPTH, panel);
    }
}

/* --- steps: four lines by four terms are transposed -----------------------------------------
 */
/* The bytes of t0: lines 0 to 3, t1, t2, t3 in the order of an operand. */
static const uint8_t first_operand[16] = {0, 1, 8,  9,  16, 17, 24, 25,
                                          2, 3, 10, 11, 18, 19, 26, 27};

BODY pack_square(const vec terms[BFMMLA_DEPTH], rm_bf16 *panel)
{
    uint8x16_t first = vld1q_u8(first_operand), second = vaddq_u8(first, vdupq_n_u8(4));
    uint8x16x2_t rounded = {{vreinterpretq_u8_u16(round_two(terms[0], terms[1])),
                             vreinterpretq_u8_u16(round_two(terms[2], terms[3]))}};
    vst1q_u16(panel, vreinterpretq_u16_u8(vqtbl2q_u8(rounded, first)));
    vst1q_u16(panel + BFMMLA_OPERAND, vreinterpretq_u16_u8(vqtbl2q_u8(rounded, second)));
}

/* The n_terms (at most four) steps from p on. */
BODY pack_step(int64_t p, int64_t n_terms, const int lines_of_panel, int n_lines,
               const rm_real *const *steps, rm_bf16 *panel)
{
    rm_bf16 *to = panel + p * lines_of_panel;
    FOR_UNROLLED (square, lines_of_panel / VEC_WIDTH) {
        int first = square * VEC_WIDTH, count = n_lines - first;
        vec terms[BFMMLA_DEPTH];
        FOR_UNROLLED (t, BFMMLA_DEPTH)
            terms[t] = t < n_terms ? vec_load_first(steps[p + t] + first, count) : vec_all(0);
        pack_square(terms, to + first * BFMMLA_DEPTH);
    }
}

BODY pack_steps(const int lines_of_panel, int64_t k, int n_lines, const rm_real *const *steps,
                rm_bf16 *panel)
{
    if (n_lines == lines_of_panel)
        FOR_EACH_STEP(BFMMLA_DEPTH, k, pack_step, lines_of_panel, lines_of_panel, steps, panel);
    else
        FOR_EACH_STEP(BFMMLA_DEPTH, k, pack_step, lines_of_panel, n_lines, steps, panel);
}

/* --- the four kernels -----------------------------------------------------------------------
 */
void rm_pack_a_lines_bfmmla(int64_t k, int m, const rm_real *const *lines, void *panel)
{
    pack_lines(BFMMLA_ROWS, k, m, lines, panel);
}

void rm_pack_a_steps_bfmmla(int64_t k, int m, const rm_real *const *steps, void *panel)
{
    pack_steps(BFMMLA_ROWS, k, m, steps, panel);
}

void rm_pack_b_lines_bfmmla(int64_t k, int n, const rm_real *const *lines, void *panel)
{
    pack_lines(BFMMLA_COLUMNS, k, n, lines, panel);
}

void rm_pack_b_steps_bfmmla(int64_t k, int n, const rm_real *const *steps, void *panel)
{
    pack_steps(BFMMLA_COLUMNS, k, n, steps, panel);
}
