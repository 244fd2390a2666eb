/* SPDX-License-Identifier: MIT
 *
 * Stored numbers to rm_real. float, bfloat16 and half (also their subnormals, infinities and
 * NaNs) keep their value exactly; double is rounded to the nearest float.
 */
#include "format/dtype.h"

#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "stored tensors are little-endian, and so must be this machine"
#endif

static const struct {
    const char *name;
    int bytes;
} dtypes[] = {
    [RM_DTYPE_F32] = {"F32", 4},
    [RM_DTYPE_BF16] = {"BF16", 2},
    [RM_DTYPE_F16] = {"F16", 2},
    [RM_DTYPE_F64] = {"F64", 8},
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

bool rm_dtype_of_name(const char *name, rm_dtype *dtype)
{
    for (int i = 0; i < N_DTYPES; i++) {
        if (strcmp(name, dtypes[i].name) != 0) continue;
        *dtype = (rm_dtype)i;
        return true;
    }
    return false;
}

const char *rm_dtype_name(rm_dtype dtype)
{
    return dtypes[dtype].name;
}

int rm_dtype_bytes(rm_dtype dtype)
{
    return dtypes[dtype].bytes;
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Half: 1 sign, 5 exponent (bias 15), 10 fraction bits; float: 1, 8 (bias 127), 23. */
static float float_of_half(uint16_t half)
{
    uint32_t sign = (uint32_t)(half >> 15) << 31;
    uint32_t exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) return float_of_bits(sign | 0x7F800000u | fraction << 13);
    if (exponent > 0) return float_of_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
    float magnitude = (float)fraction * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}

static uint16_t load_u16(const unsigned char *at)
{
    uint16_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static void read_f32(const unsigned char *data, int64_t n, rm_real *values)
{
    for (int64_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, data + 4 * i, sizeof value);
        values[i] = value;
    }
}

static void read_f64(const unsigned char *data, int64_t n, rm_real *values)
{
    for (int64_t i = 0; i < n; i++) {
        double value;
        memcpy(&value, data + 8 * i, sizeof value);
        values[i] = (rm_real)value;
    }
}

static void read_bf16(const unsigned char *data, int64_t n, rm_real *values)
{
    for (int64_t i = 0; i < n; i++)
        values[i] = float_of_bits((uint32_t)load_u16(data + 2 * i) << 16);
}

static void read_f16(const unsigned char *data, int64_t n, rm_real *values)
{
    for (int64_t i = 0; i < n; i++) values[i] = float_of_half(load_u16(data + 2 * i));
}

void rm_tensor_read(const rm_tensor *tensor, int64_t first, int64_t n, rm_real *values)
{
    const unsigned char *data = tensor->data + first * rm_dtype_bytes(tensor->dtype);
    switch (tensor->dtype) {
    case RM_DTYPE_F32:
        read_f32(data, n, values);
        break;
    case RM_DTYPE_BF16:
        read_bf16(data, n, values);
        break;
    case RM_DTYPE_F16:
        read_f16(data, n, values);
        break;
    case RM_DTYPE_F64:
        read_f64(data, n, values);
        break;
    }
}
