/* SPDX-License-Identifier: MIT
 *
 * A hash of all that decides a text's ids, by which ranks see whether they have the same.
 */
#include <string.h>
#include <xxhash.h>

#include "text/tokenizer.h"

static void mix(uint64_t *hash, const void *data, int64_t bytes)
{
    *hash = XXH3_64bits_withSeed(bytes > 0 ? data : "", (size_t)bytes, *hash);
}

static void mix_tokens(uint64_t *hash, const ringmoe_tokenizer *tokenizer)
{
    for (int i = 0; i < tokenizer->n_tokens; i++) {
        const rm_token *token = &tokenizer->tokens[i];
        const int32_t type[] = {token->spelling != NULL, (int32_t)token->type};
        mix(hash, type, sizeof type);
        mix(hash, token->spelling, token->n_spelling);
    }
}

static void mix_added(uint64_t *hash, const rm_added_tokens *added)
{
    mix(hash, &added->n_tokens, sizeof added->n_tokens);
    for (int i = 0; i < added->n_tokens; i++) {
        const rm_added_token *token = &added->tokens[i];
        const int32_t numbers[] = {token->id, token->takes_left, token->takes_right,
                                   token->is_special};
        mix(hash, numbers, sizeof numbers);
    }
}

static void mix_steps(uint64_t *hash, const ringmoe_tokenizer *tokenizer)
{
    for (int i = 0; i < tokenizer->n_changes; i++) {
        const rm_change *change = &tokenizer->changes[i];
        const int32_t numbers[] = {(int32_t)change->kind, (int32_t)change->form};
        mix(hash, numbers, sizeof numbers);
        mix(hash, change->from, change->n_from);
        mix(hash, change->to, change->n_to);
    }
    for (int i = 0; i < tokenizer->n_cuts; i++) {
        const rm_cut *cut = &tokenizer->cuts[i];
        const int32_t numbers[] = {(int32_t)cut->kind,    cut->is_literal,
                                   (int32_t)cut->matches, cut->inverted,
                                   (int32_t)cut->front,   cut->splits};
        mix(hash, numbers, sizeof numbers);
        if (cut->text) mix(hash, cut->text, (int64_t)strlen(cut->text));
    }
}

uint64_t rm_tokenizer_hash(const ringmoe_tokenizer *tokenizer)
{
    uint64_t hash = 0;
    const int32_t numbers[] = {
        (int32_t)tokenizer->kind,     tokenizer->n_tokens,      (int32_t)tokenizer->n_merges,
        tokenizer->unknown,           tokenizer->fuses_unknown, tokenizer->falls_back,
        tokenizer->takes_whole_words, tokenizer->n_changes,     tokenizer->n_cuts,
        tokenizer->n_before,          tokenizer->n_after};
    mix(&hash, numbers, sizeof numbers);
    mix_tokens(&hash, tokenizer);
    mix(&hash, tokenizer->merge_list,
        tokenizer->n_merges * (int64_t)sizeof *tokenizer->merge_list);
    mix_added(&hash, &tokenizer->raw);
    mix_added(&hash, &tokenizer->normalized);
    mix_steps(&hash, tokenizer);
    mix(&hash, tokenizer->before, tokenizer->n_before * (int64_t)sizeof *tokenizer->before);
    mix(&hash, tokenizer->after, tokenizer->n_after * (int64_t)sizeof *tokenizer->after);
    return hash;
}
