/* SPDX-License-Identifier: MIT
 *
 * Stored numbers: those of 16 bits keep their values, and of every type it is known whether
 * they are finite.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "format/dtype.h"

/* Every 16-bit pattern against arithmetic on its fields. */
static double value_of_bits(uint16_t bits, int exponent_bits, int fraction_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1, top = (1 << exponent_bits) - 1;
    int exponent = bits >> fraction_bits & top, fraction = bits & ((1 << fraction_bits) - 1);
    double sign = bits >> 15 ? -1 : 1;
    if (exponent == top) return fraction ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp((1 << fraction_bits) + fraction, exponent - bias - fraction_bits);
}

static void converts_exactly(void **state)
{
    static uint16_t bits[65536];
    static rm_real values[65536];
    for (int i = 0; i < 65536; i++) bits[i] = (uint16_t)i;
    for (int is_half = 0; is_half < 2; is_half++) {
        rm_tensor tensor = {.dtype = is_half ? RM_DTYPE_F16 : RM_DTYPE_BF16,
                            .n_elements = 65536,
                            .data = (const unsigned char *)bits};
        rm_tensor_read(rm_kernels_best(), &tensor, 0, 65536, values);
        for (int i = 0; i < 65536; i++) {
            double expected =
                is_half ? value_of_bits(bits[i], 5, 10) : value_of_bits(bits[i], 8, 7);
            if (isnan(expected))
                assert_true(isnan(values[i]));
            else
                assert_true(values[i] == (rm_real)expected &&
                            !signbit(values[i]) == !signbit(expected));
        }
    }
}

/* Whether one block, or element, is finite by its values. */
static bool has_finite_values(rm_dtype dtype, const unsigned char *data)
{
    rm_real values[256];
    int n = rm_dtype_block(dtype);
    rm_tensor tensor = {.dtype = dtype, .n_elements = n, .data = data};
    if (dtype == RM_DTYPE_F64) {
        double value;
        memcpy(&value, data, sizeof value);
        return isfinite(value);
    }
    rm_tensor_read(rm_kernels_best(), &tensor, 0, n, values);
    for (int i = 0; i < n; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

/* Exponents of all types, just below and at their end, everywhere in the second of two blocks.
 */
static void knows_what_is_finite(void **state)
{
    static const uint16_t patterns[] = {0x7bff, 0x7c00, 0xfc01, 0x7f7f, 0x7f80,
                                        0xff81, 0x7fef, 0x7ff0, 0xffff};
    for (int dtype = 0; dtype <= RM_DTYPE_IQ4_XS; dtype++) {
        int bytes = rm_dtype_bytes(dtype), block = rm_dtype_block(dtype), n_bad = 0;
        for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++)
            for (int at = 0; at + 2 <= bytes; at += 2) {
                unsigned char data[2 * 256];
                memset(data, 0x11, sizeof data);
                memcpy(data + bytes + at, &patterns[k], sizeof patterns[k]);
                bool is_finite = has_finite_values(dtype, data + bytes);
                if (rm_dtype_is_finite(dtype, data, 2 * block) != is_finite)
                    fail_msg("%s, %04x at %d", rm_dtype_name(dtype), patterns[k], at);
                assert_true(rm_dtype_is_finite(dtype, data, block));
                n_bad += !is_finite;
            }
        assert_true(n_bad > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converts_exactly),
        cmocka_unit_test(knows_what_is_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
