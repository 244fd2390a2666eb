/* SPDX-License-Identifier: MIT
 *
 * The synthetic language: its stated entropy against the one measured in a long text, which is
 * read back into words with no knowledge of how it was made.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>

#include "text/tokens.h"

enum { MAX_WORDS = 300, N_BYTES = 2000000 };

typedef struct census {
    char words[MAX_WORDS][8];
    int n_words;
    int64_t pairs[MAX_WORDS][MAX_WORDS], follows[MAX_WORDS], n_pairs;
} census;

static int word_index(census *seen, const unsigned char *word, int letters)
{
    int index = 0;
    while (index < seen->n_words && (strncmp(seen->words[index], (const char *)word, letters) ||
                                     seen->words[index][letters]))
        index++;
    if (index == seen->n_words) {
        assert_true(letters >= 2 && letters <= 7 && index < MAX_WORDS);
        memcpy(seen->words[seen->n_words++], word, (size_t)letters);
    }
    return index;
}

/* Counts the pairs of successive words; the last word may be cut. */
static census *take_census(const unsigned char *text, int64_t n)
{
    census *seen = calloc(1, sizeof *seen);
    int before = -1;
    for (int64_t start = 0, at = 0; at < n; at++) {
        assert_true(text[at] == ' ' || (text[at] >= 'a' && text[at] <= 'z'));
        if (text[at] != ' ') continue;
        int word = word_index(seen, text + start, (int)(at - start));
        if (before >= 0) seen->pairs[before][word]++, seen->follows[before]++, seen->n_pairs++;
        before = word;
        start = at + 1;
    }
    return seen;
}

/* Entropy of a word given the one before it, in nats, as the text shows it. */
static double conditional_entropy(const census *seen)
{
    double sum = 0;
    for (int i = 0; i < seen->n_words; i++)
        for (int j = 0; j < seen->n_words; j++)
            if (seen->pairs[i][j])
                sum -= (double)seen->pairs[i][j] *
                       log((double)seen->pairs[i][j] / (double)seen->follows[i]);
    return sum / (double)seen->n_pairs;
}

/* The surprise of a word has a deviation of 0.97 nats, so its mean over 360,000 words one of
 * 0.0016; the tolerances are about four of those. */
static void has_its_entropy(void **state)
{
    for (int64_t seed = 0; seed < 3; seed++) {
        ringmoe_tokens *tokens;
        assert_int_equal(ringmoe_tokens_synthetic(NULL, seed, N_BYTES, &tokens), RINGMOE_OK);
        census *seen = take_census(tokens->data, N_BYTES);
        double word_entropy = conditional_entropy(seen);
        double per_byte = word_entropy * (double)seen->n_pairs / N_BYTES;
        assert_true(seen->n_words <= 256 && seen->n_words > 200);
        assert_true(fabs(word_entropy - 127.0 / 64 * log(2)) < 6e-3);
        assert_true(fabs(per_byte / ringmoe_tokens_entropy(tokens) - 1) < 5e-3);
        free(seen);
        ringmoe_tokens_destroy(&tokens);
    }
}

static void depends_on_the_seed_alone(void **state)
{
    ringmoe_tokens *one, *longer, *other;
    assert_int_equal(ringmoe_tokens_synthetic(NULL, 5, 1000, &one), RINGMOE_OK);
    assert_int_equal(ringmoe_tokens_synthetic(NULL, 5, 1501, &longer), RINGMOE_OK);
    assert_int_equal(ringmoe_tokens_synthetic(NULL, 6, 1000, &other), RINGMOE_OK);
    assert_int_equal(ringmoe_tokens_count(longer), 1501);
    assert_memory_equal(one->data, longer->data, 1000);
    assert_memory_not_equal(one->data, other->data, 1000);
    assert_true(ringmoe_tokens_entropy(one) == ringmoe_tokens_entropy(longer));
    assert_int_equal(ringmoe_tokens_are_bytes(one), 1);
    ringmoe_tokens_destroy(&one);
    ringmoe_tokens_destroy(&longer);
    ringmoe_tokens_destroy(&other);
    assert_int_equal(ringmoe_tokens_synthetic(NULL, 5, 0, &one), RINGMOE_ERROR_ARGUMENT);
    assert_null(one);
    assert_int_equal(ringmoe_tokens_synthetic(NULL, 5, 1, &one), RINGMOE_OK);
    ringmoe_tokens_destroy(&one);
}

static void parts_keep_the_entropy(void **state)
{
    ringmoe_tokens *tokens, *first, *last;
    assert_int_equal(ringmoe_tokens_synthetic(NULL, 1, 100, &tokens), RINGMOE_OK);
    assert_int_equal(ringmoe_tokens_split(NULL, tokens, 0.25, &first, &last), RINGMOE_OK);
    assert_true(ringmoe_tokens_entropy(last) == ringmoe_tokens_entropy(tokens));
    ringmoe_tokens_destroy(&first);
    ringmoe_tokens_destroy(&last);
    ringmoe_tokens_destroy(&tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(has_its_entropy),
        cmocka_unit_test(depends_on_the_seed_alone),
        cmocka_unit_test(parts_keep_the_entropy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
