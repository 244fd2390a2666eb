/* SPDX-License-Identifier: MIT
 *
 * Stored numbers to rm_real, and what the format calls them. float, bfloat16 and half (also
 * their subnormals, infinities and NaNs) keep their value exactly; double is rounded to the
 * nearest float.
 */
#include "format/dtype.h"

#include <string.h>

#include "base/pages.h"

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

/* What else the format has. */
static const char *const other_dtypes[] = {
    "BOOL",    "F4",  "F6_E2M3", "F6_E3M2", "U8",  "I8",  "F8_E5M2", "F8_E4M3",
    "F8_E8M0", "I16", "U16",     "I32",     "U32", "I64", "U64",     "C64"};

bool rm_dtype_of_name(const char *name, rm_dtype *dtype)
{
    for (int i = 0; i < N_DTYPES; i++) {
        if (strcmp(name, dtypes[i].name) != 0) continue;
        *dtype = (rm_dtype)i;
        return true;
    }
    return false;
}

bool rm_dtype_is_other(const char *name)
{
    for (size_t i = 0; i < sizeof other_dtypes / sizeof *other_dtypes; i++)
        if (!strcmp(name, other_dtypes[i])) return true;
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

ringmoe_status rm_tensor_fetch(const rm_tensor *tensor, int64_t first, int64_t n,
                               rm_error *error)
{
    int64_t width = rm_dtype_bytes(tensor->dtype);
    if (rm_pages_fetch(tensor->data + first * width, n * width)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FILE,
                   "%s: tensor %.150s cannot be read; the file became shorter after it was "
                   "opened, or its disk fails",
                   tensor->path, tensor->name);
}

void rm_tensor_release(const rm_tensor *tensor, int64_t first, int64_t n)
{
    int64_t width = rm_dtype_bytes(tensor->dtype);
    rm_pages_release(tensor->data + first * width, n * width);
}
