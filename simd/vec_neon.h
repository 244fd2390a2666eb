/* SPDX-License-Identifier: MIT
 *
 * The vector vocabulary in NEON (64-bit ARM): vectors of 4 floats, tiles of 8 rows by 3
 * vectors. The words are explained in vec_avx2.h.
 */
#ifndef RM_VEC_NEON_H
#define RM_VEC_NEON_H

#include <arm_neon.h>

#include "simd/kernels.h"

typedef float32x4_t vec;
enum { VEC_WIDTH = 4 };

/* --- memory ------------------------------------------------------------------------------- */
static inline vec vec_load(const rm_real *p)
{
    return vld1q_f32(p);
}

static inline void vec_store(rm_real *p, vec v)
{
    vst1q_f32(p, v);
}

/* NEON has no masked access: the lanes go by way of the stack. */
static inline vec vec_load_first(const rm_real *p, int64_t count)
{
    if (count >= VEC_WIDTH) return vec_load(p);
    rm_real lanes[VEC_WIDTH] = {0};
    for (int i = 0; i < count; i++) lanes[i] = p[i];
    return vec_load(lanes);
}

static inline void vec_store_first(rm_real *p, int64_t count, vec v)
{
    if (count >= VEC_WIDTH) {
        vec_store(p, v);
        return;
    }
    rm_real lanes[VEC_WIDTH];
    vec_store(lanes, v);
    for (int i = 0; i < count; i++) p[i] = lanes[i];
}

/* --- arithmetic --------------------------------------------------------------------------- */
static inline vec vec_all(rm_real x)
{
    return vdupq_n_f32(x);
}

static inline vec vec_add(vec a, vec b)
{
    return vaddq_f32(a, b);
}

static inline vec vec_sub(vec a, vec b)
{
    return vsubq_f32(a, b);
}

static inline vec vec_mul(vec a, vec b)
{
    return vmulq_f32(a, b);
}

static inline vec vec_div(vec a, vec b)
{
    return vdivq_f32(a, b);
}

static inline vec vec_fma(vec a, vec b, vec c)
{
    return vfmaq_f32(c, a, b);
}

static inline vec vec_fma_negated(vec a, vec b, vec c)
{
    return vfmsq_f32(c, a, b);
}

static inline vec vec_sqrt(vec v)
{
    return vsqrtq_f32(v);
}

static inline vec vec_absolute(vec v)
{
    return vabsq_f32(v);
}

static inline vec vec_nearest_integer(vec v)
{
    return vrndnq_f32(v);
}

static inline vec vec_max(vec a, vec b)
{
    return vmaxq_f32(a, b);
}

static inline vec vec_clamp(vec v, rm_real low, rm_real high)
{
    return vminq_f32(vec_all(high), vmaxq_f32(vec_all(low), v));
}

static inline vec vec_scale_exponent(vec v, vec n)
{
    int32x4_t whole = vcvtnq_s32_f32(n), bias = vdupq_n_s32(127);
    int32x4_t half = vshrq_n_s32(whole, 1), rest = vsubq_s32(whole, half);
    int32x4_t first = vshlq_n_s32(vaddq_s32(half, bias), 23);
    int32x4_t second = vshlq_n_s32(vaddq_s32(rest, bias), 23);
    v = vmulq_f32(v, vreinterpretq_f32_s32(first));
    return vmulq_f32(v, vreinterpretq_f32_s32(second));
}

/* --- lanes -------------------------------------------------------------------------------- */
static inline vec vec_if_negative(vec v, vec a, vec b)
{
    return vbslq_f32(vcltzq_f32(v), a, b);
}

static inline vec vec_first_or(vec v, int64_t count, vec other)
{
    static const int32_t lanes[VEC_WIDTH] = {0, 1, 2, 3};
    int clamped = count < VEC_WIDTH ? (int)count : VEC_WIDTH;
    return vbslq_f32(vcltq_s32(vld1q_s32(lanes), vdupq_n_s32(clamped)), v, other);
}

/* (0 + 2) + (1 + 3) */
static inline rm_real vec_sum(vec v)
{
    float32x2_t twos = vadd_f32(vget_low_f32(v), vget_high_f32(v));
    return vget_lane_f32(vpadd_f32(twos, twos), 0);
}

static inline rm_real vec_max_lanes(vec v)
{
    return vmaxvq_f32(v);
}

static inline void vec_transpose(vec a[VEC_WIDTH])
{
    float32x4x2_t even = vtrnq_f32(a[0], a[1]), odd = vtrnq_f32(a[2], a[3]);
    a[0] = vcombine_f32(vget_low_f32(even.val[0]), vget_low_f32(odd.val[0]));
    a[1] = vcombine_f32(vget_low_f32(even.val[1]), vget_low_f32(odd.val[1]));
    a[2] = vcombine_f32(vget_high_f32(even.val[0]), vget_high_f32(odd.val[0]));
    a[3] = vcombine_f32(vget_high_f32(even.val[1]), vget_high_f32(odd.val[1]));
}

/* --- sums in double ----------------------------------------------------------------------- */
typedef struct vec_double {
    float64x2_t low, high;
} vec_double;

static inline vec_double vec_double_zero(void)
{
    return (vec_double){vdupq_n_f64(0), vdupq_n_f64(0)};
}

static inline vec_double vec_double_add(vec_double a, vec_double b)
{
    return (vec_double){vaddq_f64(a.low, b.low), vaddq_f64(a.high, b.high)};
}

static inline vec_double vec_double_load_first(const rm_real *p, int64_t count)
{
    vec v = vec_load_first(p, count);
    return (vec_double){vcvt_f64_f32(vget_low_f32(v)), vcvt_high_f64_f32(v)};
}

static inline vec_double vec_double_add_square(vec_double sum, vec_double v)
{
    return (vec_double){vfmaq_f64(sum.low, v.low, v.low), vfmaq_f64(sum.high, v.high, v.high)};
}

static inline double vec_double_sum(vec_double v)
{
    return vaddvq_f64(vaddq_f64(v.low, v.high));
}

/* --- bf16 --------------------------------------------------------------------------------- */
/* The bits of v rounded to bf16, in the upper half of each lane. */
static inline uint32x4_t bf16_bits(vec v)
{
    uint32x4_t bits = vreinterpretq_u32_f32(v);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
    uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    return vbslq_u32(vceqq_f32(v, v), rounded, quiet);
}

static inline vec vec_round_bf16(vec v)
{
    return vreinterpretq_f32_u32(vandq_u32(bf16_bits(v), vdupq_n_u32(0xFFFF0000u)));
}

static inline void vec_store_bf16(rm_bf16 *p, vec v)
{
    vst1_u16(p, vshrn_n_u32(bf16_bits(v), 16));
}

static inline vec vec_load_bf16(const void *p)
{
    uint16x4_t words = vreinterpret_u16_u8(vld1_u8((const uint8_t *)p));
    return vreinterpretq_f32_u32(vshll_n_u16(words, 16));
}

static inline vec vec_load_half(const void *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8((const uint8_t *)p)));
}

/* VEC_WIDTH whole numbers within -128..127 (rounded to nearest even) as bytes. */
static inline void vec_store_bytes(int8_t *p, vec v)
{
    int16x4_t halves = vmovn_s32(vcvtnq_s32_f32(v));
    int8x8_t bytes = vmovn_s16(vcombine_s16(halves, halves));
    vst1_lane_s32((int32_t *)(void *)p, vreinterpret_s32_s8(bytes), 0);
}

/* --- tiles -------------------------------------------------------------------------------- */
/* 24 sums, 2 vectors of A and 3 of B: five loads for 24 multiply-adds. */
enum { TILE_ROWS = 8, TILE_VECTORS = 3 };
/* A slice of a panel of B takes 12 KiB of a first-level cache of 32 KiB, one of A 8 KiB; a
 * block of A three quarters of a second-level cache of 256 KiB. */
enum { TILE_DEPTH_BLOCK = 256, TILE_BLOCK_ROWS = 192 };

typedef struct tile_row {
    vec v[TILE_VECTORS];
} tile_row;

static inline tile_row tile_row_load_bf16(const rm_bf16 *p)
{
    uint16x8_t low = vld1q_u16(p);
    return (tile_row){{vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(low), 16)),
                       vreinterpretq_f32_u32(vshll_high_n_u16(low, 16)),
                       vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 8), 16))}};
}

static inline tile_row tile_row_restore(tile_row row)
{
    return row;
}

/* The TILE_ROWS elements of one term of packed A. A multiply-add takes one lane of a vector; to
 * load a number into all lanes would cost as much as a multiply-add. */
typedef struct tile_column {
    vec v[TILE_ROWS / VEC_WIDTH];
} tile_column;

static inline tile_column tile_column_load(const rm_real *p)
{
    return (tile_column){{vec_load(p), vec_load(p + VEC_WIDTH)}};
}

/* sum + column[i] b */
static inline vec tile_column_fma(tile_column column, int i, vec b, vec sum)
{
    vec four = column.v[i / VEC_WIDTH];
    switch (i % VEC_WIDTH) {
    case 0:
        return vfmaq_laneq_f32(sum, b, four, 0);
    case 1:
        return vfmaq_laneq_f32(sum, b, four, 1);
    case 2:
        return vfmaq_laneq_f32(sum, b, four, 2);
    default:
        return vfmaq_laneq_f32(sum, b, four, 3);
    }
}

#endif
