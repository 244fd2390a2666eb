/* SPDX-License-Identifier: MIT */
#include "infer/texts.h"

#include <string.h>

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t seen_words(int vocab_size)
{
    return ((int64_t)vocab_size + 63) / 64;
}

static int64_t longest_prompt(const ringmoe_prompt *prompts, int n_prompts)
{
    int64_t longest = 0;
    for (int i = 0; i < n_prompts; i++)
        if (prompts[i].n_tokens > longest) longest = prompts[i].n_tokens;
    return longest;
}

void rm_texts_layout(rm_texts *texts, const ringmoe_model *model, const ringmoe_prompt *prompts,
                     int n_prompts, int64_t max_new_tokens, rm_arena *arena)
{
    int n_places = (int)least(n_prompts, rm_model_max_sequences(model));
    *texts = (rm_texts){.prompts = prompts,
                        .n_prompts = n_prompts,
                        .vocab_size = ringmoe_model_get_config(model)->vocab_size,
                        .max_tokens = rm_model_max_tokens(model)};
    rm_kv_cache_layout(&texts->cache, model, n_places,
                       longest_prompt(prompts, n_prompts) + max_new_tokens, arena);
    texts->texts = RM_TAKE(arena, n_places, rm_text);
    texts->runs = RM_TAKE(arena, n_places, rm_decode_run);
    texts->tokens = RM_TAKE(arena, texts->max_tokens, int32_t);
    for (int place = 0; place < n_places; place++) {
        uint64_t *seen = RM_TAKE(arena, seen_words(texts->vocab_size), uint64_t);
        if (texts->texts) texts->texts[place] = (rm_text){.prompt = -1, .seen = seen};
    }
}

static void note_seen(rm_text *text, int32_t token)
{
    text->seen[token / 64] |= (uint64_t)1 << token % 64;
}

static void start_text(const rm_texts *texts, rm_text *text, int prompt)
{
    *text = (rm_text){.prompt = prompt, .source = &texts->prompts[prompt], .seen = text->seen};
    memset(text->seen, 0, (size_t)seen_words(texts->vocab_size) * sizeof *text->seen);
    for (int64_t i = 0; i < text->source->n_tokens; i++)
        note_seen(text, text->source->tokens[i]);
}

void rm_text_append(rm_text *text, int32_t token)
{
    note_seen(text, token);
    text->newest = token;
    text->n_new++;
}

static void add_run(rm_texts *texts, int place, const int32_t *tokens, int64_t n, bool wants)
{
    texts->runs[texts->n_runs++] = (rm_decode_run){.place = place,
                                                   .n_past = texts->texts[place].n_read,
                                                   .n_new = n,
                                                   .wants_logits = wants};
    memcpy(texts->tokens + texts->n_rows, tokens, (size_t)n * sizeof *tokens);
    texts->n_rows += n;
}

/* As many tokens of prompts as there is room for. */
static void add_prompt(rm_texts *texts, int place)
{
    const rm_text *text = &texts->texts[place];
    int64_t left = text->source->n_tokens - text->n_read;
    int64_t n = least(left, texts->max_tokens - texts->n_rows);
    if (n > 0) add_run(texts, place, text->source->tokens + text->n_read, n, n == left);
}

bool rm_texts_next_pass(rm_texts *texts)
{
    texts->n_runs = 0;
    texts->n_rows = 0;
    for (int place = 0; place < texts->cache.n_places; place++) {
        rm_text *text = &texts->texts[place];
        if (text->prompt < 0 && texts->next < texts->n_prompts)
            start_text(texts, text, texts->next++);
        if (text->prompt >= 0) add_prompt(texts, place);
    }
    texts->reads_prompts = texts->n_runs > 0;
    for (int place = 0; place < texts->cache.n_places && !texts->reads_prompts; place++) {
        const rm_text *text = &texts->texts[place];
        if (text->prompt >= 0) add_run(texts, place, &text->newest, 1, true);
    }
    return texts->n_runs > 0;
}

void rm_texts_read(rm_texts *texts)
{
    for (int i = 0; i < texts->n_runs; i++)
        texts->texts[texts->runs[i].place].n_read += texts->runs[i].n_new;
}
