/* SPDX-License-Identifier: MIT
 *
 * The types every other public header uses: status codes, numbers, precision, strings of them.
 */
#ifndef RINGMOE_TYPES_H
#define RINGMOE_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32) || !defined(__GNUC__)
#define RINGMOE_API
#else
#define RINGMOE_API __attribute__((visibility("default")))
#endif

/* Every status a call can return: name, number, text. 0 is success. */
#define RINGMOE_STATUS_LIST(X)                                                                 \
    X(RINGMOE_OK, 0, "ok")                                                                     \
    X(RINGMOE_ERROR_ARGUMENT, 1, "invalid argument")                                           \
    X(RINGMOE_ERROR_MEMORY, 2, "out of memory")                                                \
    X(RINGMOE_ERROR_FILE, 3, "file error")                                                     \
    X(RINGMOE_ERROR_FORMAT, 4, "malformed file")                                               \
    X(RINGMOE_ERROR_MPI, 5, "MPI error")                                                       \
    X(RINGMOE_ERROR_LAYOUT, 6, "layout does not fit")                                          \
    X(RINGMOE_ERROR_MISMATCH, 7, "ranks disagree")                                             \
    X(RINGMOE_ERROR_NUMERIC, 8, "not a finite number")                                         \
    X(RINGMOE_ERROR_STATE, 9, "call out of order")                                             \
    X(RINGMOE_ERROR_INTERRUPTED, 10, "stopped by the caller")

typedef enum ringmoe_status {
#define RINGMOE_STATUS_ENUM(name, number, text) name = number,
    RINGMOE_STATUS_LIST(RINGMOE_STATUS_ENUM)
#undef RINGMOE_STATUS_ENUM
} ringmoe_status;

/**
 * The English text of a status code.
 *
 * Local. Returns a constant string, never NULL; "unknown status" for a number not in the list.
 */
RINGMOE_API const char *ringmoe_status_text(ringmoe_status status);

/**
 * The number type of features, weights and gradients in the caller's memory: float.
 *
 * A build with -Ddouble=true (a second library, used by the gradient tests) has double here and
 * computes throughout in it; such a program defines RINGMOE_DOUBLE before including a header.
 */
#ifdef RINGMOE_DOUBLE
typedef double ringmoe_real;
#else
typedef float ringmoe_real;
#endif

/**
 * Operands of the matrix products; master weights and sums are ringmoe_real in all of them. The
 * last two are for weights of models that only infer: a context's own precision is one of the
 * first two.
 */
typedef enum ringmoe_precision {
    RINGMOE_PRECISION_FP32 = 0, /**< operands as they are */
    RINGMOE_PRECISION_BF16 =
        1, /**< operands rounded to bfloat16 (nearest even), sums in fp32 */
    RINGMOE_PRECISION_Q8_0 = 2, /**< weights in blocks of 32 bytes with a scale (GGUF's Q8_0) */
    RINGMOE_PRECISION_Q4_0 = 3, /**< the same of half bytes (GGUF's Q4_0) */
} ringmoe_precision;

#ifdef __cplusplus
}
#endif
#endif
