/* SPDX-License-Identifier: MIT
 *
 * The number types of the kernels. rm_real is float; the library built with -Ddouble=true,
 * which the gradient tests use for finite differences, computes everything in double.
 */
#ifndef RM_REAL_H
#define RM_REAL_H

#include <stdint.h>

#ifdef RINGMOE_DOUBLE
typedef double rm_real;
#else
typedef float rm_real;
#endif

/* bfloat16: the upper half of a float's bits. */
typedef uint16_t rm_bf16;

#endif
