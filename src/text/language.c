/* SPDX-License-Identifier: MIT
 *
 * The synthetic language: N_WORDS distinct words of lower-case letters, each followed by a
 * blank, in a Markov chain over words. A word has N_NEXT different successors; the j-th follows
 * with probability p_j = 1/2, 1/4, ..., 1/64, 1/128, 1/128. The last one is the next word of
 * the cycle 0, 1, 2, ..., so every word can be reached and the chain has one stationary
 * distribution pi.
 *
 * Each word costs  H = -sum_j p_j ln p_j  nats whatever came before it, and the blanks make the
 * text uniquely decodable, so a byte carries
 *
 *     entropy  =  H / sum_w pi(w) (length(w) + 1)        nats
 *
 * (Shannon 1948; Cover and Thomas, Elements of Information Theory, chapter 4). The first word
 * is drawn from pi. Every draw is a Philox number, so the text depends on the seed alone.
 */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "text/tokens.h"

enum { N_WORDS = 256, N_NEXT = 8, MIN_LETTERS = 2, MAX_LETTERS = 7 };

typedef struct language {
    char words[N_WORDS][MAX_LETTERS + 1]; /* letters, then a blank */
    int bytes[N_WORDS];                   /* with the blank */
    int next[N_WORDS][N_NEXT];
    double stationary[N_WORDS];
} language;

static double probability(int j)
{
    return ldexp(1, j < N_NEXT - 1 ? -(j + 1) : -(N_NEXT - 1));
}

static bool is_taken(const language *made, int word)
{
    for (int other = 0; other < word; other++)
        if (made->bytes[other] == made->bytes[word] &&
            !memcmp(made->words[other], made->words[word], (size_t)made->bytes[word]))
            return true;
    return false;
}

static void make_words(language *made, rm_random_key key)
{
    uint64_t counter = 0;
    for (int word = 0; word < N_WORDS; word++) {
        do {
            uint32_t draws[8];
            rm_random_words(key, counter++, draws);
            rm_random_words(key, counter++, draws + 4);
            int letters = MIN_LETTERS + (int)(draws[0] % (MAX_LETTERS - MIN_LETTERS + 1));
            for (int i = 0; i < letters; i++)
                made->words[word][i] = (char)('a' + draws[i + 1] % 26);
            made->words[word][letters] = ' ';
            made->bytes[word] = letters + 1;
        } while (is_taken(made, word));
    }
}

/* The cycle's successor comes last; the others are drawn until they differ from it and from one
 * another. */
static void make_successors(language *made, rm_random_key key)
{
    uint64_t counter = 0;
    for (int word = 0; word < N_WORDS; word++) {
        int *next = made->next[word];
        next[N_NEXT - 1] = (word + 1) % N_WORDS;
        for (int j = 0; j < N_NEXT - 1;) {
            uint32_t draws[4];
            rm_random_words(key, counter++, draws);
            next[j] = (int)(draws[0] % N_WORDS);
            bool fresh = next[j] != next[N_NEXT - 1];
            for (int i = 0; i < j; i++) fresh = fresh && next[i] != next[j];
            j += fresh;
        }
    }
}

/* Power iteration on (I + P) / 2, which has the same fixed point as P and converges even if the
 * chain is periodic. */
static void find_stationary(language *made)
{
    double *now = made->stationary, change = 1;
    for (int w = 0; w < N_WORDS; w++) now[w] = 1.0 / N_WORDS;
    for (int round = 0; round < 10000 && change > 1e-15; round++) {
        double then[N_WORDS];
        for (int w = 0; w < N_WORDS; w++) then[w] = now[w] / 2;
        for (int w = 0; w < N_WORDS; w++)
            for (int j = 0; j < N_NEXT; j++)
                then[made->next[w][j]] += now[w] * probability(j) / 2;
        change = 0;
        for (int w = 0; w < N_WORDS; w++) change += fabs(then[w] - now[w]);
        memcpy(now, then, sizeof then);
    }
}

static double entropy_per_byte(const language *made)
{
    double word_entropy = 0, mean_bytes = 0;
    for (int j = 0; j < N_NEXT; j++) word_entropy -= probability(j) * log(probability(j));
    for (int w = 0; w < N_WORDS; w++) mean_bytes += made->stationary[w] * made->bytes[w];
    return word_entropy / mean_bytes;
}

static int first_word(const language *made, rm_random_key key)
{
    double left = rm_random_uniform(key, 0);
    int word = 0;
    while (word < N_WORDS - 1 && left >= made->stationary[word])
        left -= made->stationary[word++];
    return word;
}

/* Successor j is chosen by j leading zeros among the top 7 bits of a random word. */
static int successor(const language *made, int word, uint32_t draw)
{
    int zeros = __builtin_clz(draw | 1u << (32 - N_NEXT));
    return made->next[word][zeros];
}

static void write_text(const language *made, rm_random_key key, int word, int64_t n,
                       unsigned char *text)
{
    uint32_t draws[4];
    uint64_t counter = 0;
    for (int64_t at = 0; at < n; counter++) {
        int64_t bytes = made->bytes[word];
        memcpy(text + at, made->words[word], (size_t)(bytes < n - at ? bytes : n - at));
        at += bytes;
        if (counter % 4 == 0) rm_random_words(key, counter / 4, draws);
        word = successor(made, word, draws[counter % 4]);
    }
}

static rm_random_key key_for(int64_t seed, const char *purpose)
{
    return (rm_random_key){(uint64_t)seed, rm_random_stream(purpose)};
}

double rm_language_write(int64_t seed, int64_t n, unsigned char *text)
{
    language made;
    make_words(&made, key_for(seed, "language.words"));
    make_successors(&made, key_for(seed, "language.successors"));
    find_stationary(&made);
    int word = first_word(&made, key_for(seed, "language.first"));
    write_text(&made, key_for(seed, "language.text"), word, n, text);
    return entropy_per_byte(&made);
}
