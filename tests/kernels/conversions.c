/* SPDX-License-Identifier: MIT
 *
 * Checks of the conversions: every one of the 65,536 words, in rows of all lengths around a
 * vector's, at odd addresses. Exact.
 */
#include "check.h"

#include <math.h>

enum { N_WORDS = 1 << 16, SIGN = 0x8000 };

/* A number of these many exponent and fraction bits; the greatest exponent is of infinities and
 * NaNs, the least of denormal numbers. */
static double value_of(unsigned word, int exponent_bits, int fraction_bits)
{
    int greatest = (1 << exponent_bits) - 1, bias = greatest / 2;
    int exponent = (int)(word >> fraction_bits) & greatest;
    int fraction = (int)(word & ((1u << fraction_bits) - 1)), one = 1 << fraction_bits;
    double magnitude;
    if (exponent == greatest)
        magnitude = fraction ? NAN : INFINITY;
    else if (exponent == 0)
        magnitude = ldexp(fraction, 1 - bias - fraction_bits);
    else
        magnitude = ldexp(one + fraction, exponent - bias - fraction_bits);
    return word & SIGN ? -magnitude : magnitude;
}

static void check_row(check *c, bool half, unsigned first, int64_t n, int placement)
{
    buffers_reset(c);
    describe(c, "words from %u on, n %lld", first, (long long)n);
    unsigned char *words = buffer_take(c, placement, 2 * n, 1);
    rm_real *y = buffer_take(c, placement, n, sizeof *y);
    for (int64_t i = 0; i < n; i++) {
        unsigned word = (first + (unsigned)i) % N_WORDS;
        words[2 * i] = (unsigned char)word, words[2 * i + 1] = (unsigned char)(word >> 8);
    }
    (half ? c->kernels->widen_half : c->kernels->widen_bf16)(n, words, y);
    for (int64_t i = 0; i < n; i++) {
        unsigned word = (first + (unsigned)i) % N_WORDS;
        rm_real want = (rm_real)(half ? value_of(word, 5, 10) : value_of(word, 8, 7));
        expect_same(c, "y", 1, &y[i], &want);
    }
    buffers_verify(c);
}

void check_widen(check *c, bool half)
{
    enum { LONG = 1024, MOST_SHORT = 67 };
    for (unsigned first = 0; first < N_WORDS; first += LONG)
        check_row(c, half, first, LONG, 2 + (int)(first / LONG) % 2);
    for (int n = 0; n <= MOST_SHORT; n++)
        check_row(c, half, (unsigned)random_bits(c), n, n % N_PLACEMENTS);
}
