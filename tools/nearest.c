/* SPDX-License-Identifier: MIT
 *
 * "Did you mean": a name that the word goes on from (max-new for max-new-tokens), or the one at
 * the smallest edit distance (Levenshtein, one row at a time).
 */
#include "options.h"

#include <string.h>

#define MAX_WORD 48

static int smallest(int a, int b, int c)
{
    int least = a < b ? a : b;
    return least < c ? least : c;
}

static int edit_distance(const char *a, const char *b)
{
    int length = (int)strlen(b), row[MAX_WORD + 1];
    if (strlen(a) > MAX_WORD || length > MAX_WORD) return MAX_WORD;
    for (int j = 0; j <= length; j++) row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= length; j++) {
            int above = row[j];
            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[length];
}

static bool goes_on_from(const char *word, const char *name)
{
    size_t n = strlen(name);
    return strncmp(word, name, n) == 0 && word[n] == '-';
}

const char *nearest_name(const char *word, const char *const *names)
{
    const char *best = NULL;
    int limit = (int)strlen(word) / 3 + 1, best_distance = limit + 1;
    for (; *names; names++) {
        if (goes_on_from(word, *names)) return *names;
        int distance = edit_distance(word, *names);
        if (distance < best_distance) {
            best_distance = distance;
            best = *names;
        }
    }
    return best;
}
