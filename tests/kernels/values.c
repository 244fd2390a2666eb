/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <math.h>
#include <string.h>

const char *const values_names[N_VALUES] = {"unit", "wide",    "zero", "denormal",
                                            "tie",  "special", "huge"};

/* SplitMix64 (Steele, Lea & Flood 2014). */
uint64_t random_bits(check *c)
{
    uint64_t z = c->random += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* A kernel's values depend on the seed and its name, so it can be run again alone. */
void random_start(check *c, const char *kernel)
{
    c->random = c->seed;
    for (const char *letter = kernel; *letter; letter++)
        c->random = random_bits(c) ^ (unsigned char)*letter;
}

double random_between(check *c, double low, double high)
{
    return low + (high - low) * ((double)(random_bits(c) >> 11) * 0x1p-53);
}

static rm_real random_tie(check *c)
{
    static const uint32_t low_halves[] = {0x8000, 0x7FFF, 0x8001};
    float magnitude = (float)random_between(c, 0.01, 100);
    uint32_t bits;
    memcpy(&bits, &magnitude, sizeof bits);
    uint64_t choice = random_bits(c);
    bits = (bits & 0xFFFF0000u) | low_halves[choice % 3] | (uint32_t)(choice >> 32 << 31);
    memcpy(&magnitude, &bits, sizeof bits);
    return (rm_real)magnitude;
}

/* Of any payload: among them some that rounding would carry into infinity or zero. */
static rm_real random_nan(check *c)
{
    static const uint32_t payloads[] = {0x7FC00000, 0x7F800001, 0x7FFFFFFF, 0x7F80FFFF};
    uint64_t choice = random_bits(c);
    uint32_t bits = payloads[choice % 4] | (uint32_t)(choice >> 32 << 31);
    float value;
    memcpy(&value, &bits, sizeof value);
    return (rm_real)value;
}

static rm_real random_special(check *c)
{
    uint64_t choice = random_bits(c);
    if (choice % 16 == 0) return random_nan(c);
    if (choice % 16 == 1) return (rm_real)INFINITY;
    if (choice % 16 == 2) return -(rm_real)INFINITY;
    return (rm_real)random_between(c, -1, 1);
}

rm_real random_value(check *c, values kind)
{
    rm_real unit = (rm_real)random_between(c, -1, 1);
    bool rare = random_bits(c) % 8 == 0;
    switch (kind) {
    case VALUES_WIDE:
        return unit * (rm_real)exp2(random_between(c, -20, 20));
    case VALUES_ZERO:
        return rare ? unit : unit < 0 ? -(rm_real)0 : 0;
    case VALUES_DENORMAL:
        return rare ? unit : unit * REAL_LEAST * 10000;
    case VALUES_TIE:
        return random_tie(c);
    case VALUES_SPECIAL:
        return random_special(c);
    case VALUES_HUGE:
        return unit * REAL_MAX;
    default:
        return unit;
    }
}

void fill_values(check *c, values kind, int64_t n, rm_real *x)
{
    for (int64_t i = 0; i < n; i++) x[i] = random_value(c, kind);
}

/* Eight significant bits; below 2^-126 a fixed quantum. rint takes ties to even. */
rm_real nearest_bf16(rm_real x)
{
    double value = (double)(float)x;
    if (!isfinite(value) || value == 0) return (rm_real)value;
    int exponent = ilogb(value) < -126 ? -126 : ilogb(value);
    double quantum = ldexp(1, exponent - 7);
    return (rm_real)(float)(rint(value / quantum) * quantum);
}

rm_bf16 bf16_of(rm_real x)
{
    float rounded = isnan(x) ? NAN : (float)nearest_bf16(x);
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return (rm_bf16)(bits >> 16);
}
