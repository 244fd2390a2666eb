/* SPDX-License-Identifier: MIT
 *
 * A permutation of [0, n) without a table: a balanced Feistel network (Luby & Rackoff 1988)
 * over the next power of four, whose round function is Philox keyed by (seed, epoch), walked
 * along its cycle until the value falls below n (Black & Rogaway, "Ciphers with arbitrary
 * finite domains", CT-RSA 2002). The domain is less than 4 n, so a walk takes fewer than 4
 * turns on average.
 */
#include "train/order.h"

#include "base/random.h"

enum { FEISTEL_ROUNDS = 6 };

ringmoe_status rm_order_init(rm_order *order, int64_t n_tokens, int64_t seq_len,
                             int64_t global_batch, int64_t seed, rm_error *error)
{
    *order = (rm_order){(n_tokens - 1) / seq_len, seq_len, global_batch, seed};
    if (n_tokens > seq_len) return RINGMOE_OK;
    return rm_fail(
        error, RINGMOE_ERROR_FORMAT,
        "the training text has %lld tokens; one sequence of %lld and its last target "
        "take %lld: give a longer text or a smaller seq_len",
        (long long)n_tokens, (long long)seq_len, (long long)seq_len + 1);
}

/* Half the bits of the smallest power of four that is at least n, and at least 1. */
static int half_bits(int64_t n)
{
    int bits = 1;
    while (bits < 31 && ((int64_t)1 << (2 * bits)) < n) bits++;
    return bits;
}

static uint64_t encrypt(rm_random_key key, int bits, uint64_t value)
{
    uint64_t mask = ((uint64_t)1 << bits) - 1;
    uint64_t left = value >> bits, right = value & mask;
    for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
        uint32_t words[4];
        rm_random_words(key, round << 32 | right, words);
        uint64_t mixed = left ^ (words[0] & mask);
        left = right;
        right = mixed;
    }
    return left << bits | right;
}

int64_t rm_order_permute(int64_t seed, int64_t epoch, int64_t n, int64_t position)
{
    rm_random_key key = {(uint64_t)seed,
                         rm_random_mix(rm_random_stream("data order"), (uint64_t)epoch)};
    int bits = half_bits(n);
    uint64_t value = (uint64_t)position;
    do value = encrypt(key, bits, value);
    while (value >= (uint64_t)n);
    return (int64_t)value;
}

int64_t rm_order_first_token(const rm_order *order, int64_t step, int64_t index)
{
    int64_t sample = step * order->global_batch + index;
    int64_t epoch = sample / order->n_windows;
    return order->seq_len *
           rm_order_permute(order->seed, epoch, order->n_windows, sample % order->n_windows);
}
