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

void rm_tensor_read(const rm_kernels *kernels, const rm_tensor *tensor, int64_t first,
                    int64_t n, rm_real *values)
{
    const unsigned char *data = tensor->data + first * rm_dtype_bytes(tensor->dtype);
    switch (tensor->dtype) {
    case RM_DTYPE_F32:
        read_f32(data, n, values);
        break;
    case RM_DTYPE_BF16:
        kernels->widen_bf16(n, data, values);
        break;
    case RM_DTYPE_F16:
        kernels->widen_half(n, data, values);
        break;
    case RM_DTYPE_F64:
        read_f64(data, n, values);
        break;
    }
}
