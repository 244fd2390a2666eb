/* SPDX-License-Identifier: MIT
 *
 * Stored numbers to rm_real, and what the formats call them. float, bfloat16 and half (also
 * their subnormals, infinities and NaNs) keep their value exactly; double is rounded to the
 * nearest float; a block's numbers are its scale times whole ones, rounded once.
 */
#include "format/dtype.h"

#include <stdlib.h>
#include <string.h>

#include "base/pages.h"
#include "format/quants.h"
#include "format/tensor_source.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "stored tensors are little-endian, and so must be this machine"
#endif

/* A stored float's exponent in the 16 bits that have it: all ones if it is not finite. */
enum { HALF = 0x7c00, SINGLE = 0x7f80, DOUBLE = 0x7ff0 };

/* The first ones are safetensors' too. */
static const struct {
    const char *name;
    int bytes, block;
    uint16_t exponent;
    int n_exponents, exponents[2]; /* where an element's or a block's floats have theirs */
    rm_block_reader read;          /* of those that have blocks */
} dtypes[] = {
    [RM_DTYPE_F32] = {"F32", 4, 1, SINGLE, 1, {2}, NULL},
    [RM_DTYPE_BF16] = {"BF16", 2, 1, SINGLE, 1, {0}, NULL},
    [RM_DTYPE_F16] = {"F16", 2, 1, HALF, 1, {0}, NULL},
    [RM_DTYPE_F64] = {"F64", 8, 1, DOUBLE, 1, {6}, NULL},
    [RM_DTYPE_Q8_0] = {"Q8_0", RM_Q8_0_BYTES, RM_QUANT_BLOCK, HALF, 1, {0}, rm_q8_0_read},
    [RM_DTYPE_Q4_0] = {"Q4_0", RM_Q4_0_BYTES, RM_QUANT_BLOCK, HALF, 1, {0}, rm_q4_0_read},
    [RM_DTYPE_Q4_1] = {"Q4_1", 20, RM_QUANT_BLOCK, HALF, 2, {0, 2}, rm_q4_1_read},
    [RM_DTYPE_Q5_0] = {"Q5_0", 22, RM_QUANT_BLOCK, HALF, 1, {0}, rm_q5_0_read},
    [RM_DTYPE_Q5_1] = {"Q5_1", 24, RM_QUANT_BLOCK, HALF, 2, {0, 2}, rm_q5_1_read},
    [RM_DTYPE_IQ4_NL] = {"IQ4_NL", 18, RM_QUANT_BLOCK, HALF, 1, {0}, rm_iq4_nl_read},
    [RM_DTYPE_Q2_K] = {"Q2_K", 84, RM_QUANT_BLOCK_MOST, HALF, 2, {80, 82}, rm_q2_k_read},
    [RM_DTYPE_Q3_K] = {"Q3_K", 110, RM_QUANT_BLOCK_MOST, HALF, 1, {108}, rm_q3_k_read},
    [RM_DTYPE_Q4_K] = {"Q4_K", 144, RM_QUANT_BLOCK_MOST, HALF, 2, {0, 2}, rm_q4_k_read},
    [RM_DTYPE_Q5_K] = {"Q5_K", 176, RM_QUANT_BLOCK_MOST, HALF, 2, {0, 2}, rm_q5_k_read},
    [RM_DTYPE_Q6_K] = {"Q6_K", 210, RM_QUANT_BLOCK_MOST, HALF, 1, {208}, rm_q6_k_read},
    [RM_DTYPE_IQ4_XS] = {"IQ4_XS", 136, RM_QUANT_BLOCK_MOST, HALF, 1, {0}, rm_iq4_xs_read},
};
enum { N_SAFETENSORS_DTYPES = RM_DTYPE_F64 + 1 };

/* What else the format has. */
static const char *const other_dtypes[] = {
    "BOOL",    "F4",  "F6_E2M3", "F6_E3M2", "U8",  "I8",  "F8_E5M2", "F8_E4M3",
    "F8_E8M0", "I16", "U16",     "I32",     "U32", "I64", "U64",     "C64"};

bool rm_dtype_of_name(const char *name, rm_dtype *dtype)
{
    for (int i = 0; i < N_SAFETENSORS_DTYPES; i++) {
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

int rm_dtype_block(rm_dtype dtype)
{
    return dtypes[dtype].block;
}

int64_t rm_dtype_size(rm_dtype dtype, int64_t n)
{
    int64_t block = dtypes[dtype].block;
    return (n + block - 1) / block * dtypes[dtype].bytes;
}

/* Whether one of n exponents, `step` bytes apart, is all ones. */
static inline bool has_infinite(const unsigned char *data, int64_t n, int step,
                                uint16_t exponent)
{
    uint16_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, data + i * step, sizeof bits);
        found |= (bits & exponent) == exponent;
    }
    return found;
}

bool rm_dtype_is_finite(rm_dtype dtype, const unsigned char *data, int64_t n)
{
    const int64_t n_blocks = n / dtypes[dtype].block;
    const int bytes = dtypes[dtype].bytes;
    const uint16_t exponent = dtypes[dtype].exponent;
    bool found = false;
    for (int i = 0; i < dtypes[dtype].n_exponents; i++) {
        const unsigned char *at = data + dtypes[dtype].exponents[i];
        /* Steps known to the compiler are what it makes vectors of. */
        found |= bytes == 2   ? has_infinite(at, n_blocks, 2, exponent)
                 : bytes == 4 ? has_infinite(at, n_blocks, 4, exponent)
                              : has_infinite(at, n_blocks, bytes, exponent);
    }
    return !found;
}

const unsigned char *rm_tensor_at(const rm_tensor *tensor, int64_t element)
{
    return tensor->data + element / dtypes[tensor->dtype].block * dtypes[tensor->dtype].bytes;
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

static void read_blocks(const rm_tensor *tensor, int64_t first, int64_t n, rm_real *values)
{
    const int64_t size = dtypes[tensor->dtype].block;
    const rm_block_reader read = dtypes[tensor->dtype].read;
    while (n > 0) {
        rm_real block[RM_QUANT_BLOCK_MOST];
        int64_t begin = first % size, taken = size - begin < n ? size - begin : n;
        const unsigned char *data = rm_tensor_at(tensor, first);
        read(data, taken == size ? values : block);
        if (taken < size) memcpy(values, block + begin, (size_t)taken * sizeof *values);
        first += taken;
        values += taken;
        n -= taken;
    }
}

void rm_tensor_read(const rm_kernels *kernels, const rm_tensor *tensor, int64_t first,
                    int64_t n, rm_real *values)
{
    const unsigned char *data = rm_tensor_at(tensor, first);
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
    default:
        read_blocks(tensor, first, n, values);
        break;
    }
}

/* Bytes of the blocks that have these elements; *data is where they begin. */
static int64_t bytes_around(const rm_tensor *tensor, int64_t first, int64_t n,
                            const unsigned char **data)
{
    *data = rm_tensor_at(tensor, first);
    return n > 0 ? rm_tensor_at(tensor, first + n - 1) + rm_dtype_bytes(tensor->dtype) - *data
                 : 0;
}

static ringmoe_status fail_file(const rm_tensor *tensor, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_FILE,
                   "%s: tensor %.150s cannot be read; the file became shorter after it was "
                   "opened, or its disk fails",
                   tensor->path, tensor->name);
}

ringmoe_status rm_tensor_fetch(const rm_tensor *tensor, int64_t first, int64_t n,
                               rm_error *error)
{
    const unsigned char *data;
    int64_t bytes = bytes_around(tensor, first, n, &data);
    return rm_pages_fetch(data, bytes) ? RINGMOE_OK : fail_file(tensor, error);
}

void rm_tensor_release(const rm_tensor *tensor, int64_t first, int64_t n)
{
    const unsigned char *data;
    int64_t bytes = bytes_around(tensor, first, n, &data);
    rm_pages_release(data, bytes);
}

void rm_tensor_ask(const rm_tensor *tensor, int64_t first, int64_t n)
{
    const unsigned char *data;
    int64_t bytes = bytes_around(tensor, first, n, &data);
    rm_pages_ask(data, bytes);
}

static ringmoe_status grow(rm_read_buffer *buffer, int64_t bytes, rm_error *error)
{
    if (bytes <= buffer->room) return RINGMOE_OK;
    void *moved = realloc(buffer->bytes, (size_t)bytes);
    if (!moved)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld bytes of a tensor",
                       (long long)bytes);
    *buffer = (rm_read_buffer){moved, bytes};
    return RINGMOE_OK;
}

ringmoe_status rm_tensor_load(const rm_tensor *tensor, int64_t first, int64_t n,
                              rm_read_buffer *buffer, rm_tensor_window *window, rm_error *error)
{
    const unsigned char *data;
    int64_t bytes = bytes_around(tensor, first, n, &data),
            block = rm_dtype_block(tensor->dtype);
    *window = (rm_tensor_window){*tensor, first / block * block};
    if (!tensor->source) {
        window->tensor.data = data;
        return rm_tensor_fetch(tensor, first, n, error);
    }
    RM_TRY(grow(buffer, bytes, error));
    window->tensor.data = buffer->bytes;
    int64_t at = data - tensor->source->map.data;
    return rm_tensor_source_get(tensor->source, at, buffer->bytes, bytes)
               ? RINGMOE_OK
               : fail_file(tensor, error);
}
