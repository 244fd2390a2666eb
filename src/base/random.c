/* SPDX-License-Identifier: MIT */
#include "base/random.h"

#include <math.h>
#include <string.h>
#include <xxhash.h>

/* Philox's multipliers and Weyl increments, from the paper's table 2. */
enum { PHILOX_ROUNDS = 10 };
static const uint32_t philox_m0 = 0xD2511F53, philox_m1 = 0xCD9E8D57;
static const uint32_t philox_w0 = 0x9E3779B9, philox_w1 = 0xBB67AE85;

/* The 128-bit counter is (counter, stream), the 64-bit key the seed. */
void rm_random_words(rm_random_key key, uint64_t counter, uint32_t words[4])
{
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32);
    uint32_t c2 = (uint32_t)key.stream, c3 = (uint32_t)(key.stream >> 32);
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (int round = 0; round < PHILOX_ROUNDS; round++) {
        uint64_t product0 = (uint64_t)philox_m0 * c0, product1 = (uint64_t)philox_m1 * c2;
        uint32_t next0 = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
        uint32_t next2 = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)product1, c3 = (uint32_t)product0;
        c0 = next0, c2 = next2;
        k0 += philox_w0, k1 += philox_w1;
    }
    words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

static double uniform_of_words(uint32_t high, uint32_t low)
{
    uint64_t bits = ((uint64_t)high << 21) ^ (low >> 11);
    return (double)bits * 0x1p-53;
}

double rm_random_uniform(rm_random_key key, uint64_t counter)
{
    uint32_t words[4];
    rm_random_words(key, counter, words);
    return uniform_of_words(words[0], words[1]);
}

/* Numbers 2i and 2i+1 are the cosine and the sine half of one Box-Muller pair. */
static void normal_pair(rm_random_key key, uint64_t pair, double normals[2])
{
    static const double two_pi = 6.283185307179586476925286766559;
    uint32_t words[4];
    rm_random_words(key, pair, words);
    double radius = sqrt(-2 * log(1 - uniform_of_words(words[0], words[1])));
    double angle = two_pi * uniform_of_words(words[2], words[3]);
    normals[0] = radius * cos(angle);
    normals[1] = radius * sin(angle);
}

double rm_random_normal(rm_random_key key, uint64_t counter)
{
    double normals[2];
    normal_pair(key, counter / 2, normals);
    return normals[counter % 2];
}

void rm_random_fill_normal(rm_random_key key, uint64_t first, int64_t n, double deviation,
                           rm_real *values)
{
    for (int64_t i = 0; i < n;) {
        double normals[2];
        uint64_t counter = first + (uint64_t)i;
        normal_pair(key, counter / 2, normals);
        for (uint64_t half = counter % 2; half < 2 && i < n; half++)
            values[i++] = (rm_real)(deviation * normals[half]);
    }
}

uint64_t rm_random_stream(const char *name)
{
    return XXH64(name, strlen(name), 0);
}

uint64_t rm_random_mix(uint64_t stream, uint64_t index)
{
    uint64_t both[2] = {stream, index};
    return XXH64(both, sizeof both, 0);
}
