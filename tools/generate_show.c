/* SPDX-License-Identifier: MIT
 *
 * From tokens to what is seen:
 *
 *   tokens -> bytes | ... shown | held back: may be the beginning of a --stop |
 *                        |
 *                        v  whole characters, \xNN for what is none
 *             the text in memory | printed | as soon as it is this text's turn |
 */
#include "generate.h"

#include <stdlib.h>
#include <string.h>

#include "json_text.h"

typedef struct shown_text {
    int32_t *tokens; /* new ones, [n_tokens] */
    char *bytes;     /* theirs, [n_bytes] */
    size_t n_tokens, n_bytes, tokens_room, bytes_room;
    size_t n_shown; /* bytes that went to the stream */
    bool has_stopped, has_ended;
    text_stream stream; /* to a text in memory: */
    char *text;
    size_t text_size, n_printed;
} shown_text;

struct generate_show {
    const generate_options *options;
    const generate_words *words;
    const generate_prompts *prompts;
    const ringmoe_text_result *results;
    shown_text *texts; /* [prompts->n] */
    int current;       /* whose turn it is */
    bool is_short_of_memory;
};

/* --- texts in memory --- */

static bool grow(void **array, size_t needed, size_t *room, size_t size)
{
    if (needed <= *room) return true;
    size_t larger = 2 * needed + 64;
    void *moved = realloc(*array, larger * size);
    if (!moved) return false;
    *array = moved;
    *room = larger;
    return true;
}

static bool append(const generate_show *show, shown_text *shown, int32_t token)
{
    char number[16];
    int n;
    const char *bytes = words_bytes(show->words, token, false, &n, number);
    size_t n_bytes = (size_t)n;
    if (!grow((void **)&shown->tokens, shown->n_tokens + 1, &shown->tokens_room,
              sizeof *shown->tokens) ||
        !grow((void **)&shown->bytes, shown->n_bytes + n_bytes, &shown->bytes_room, 1))
        return false;
    shown->tokens[shown->n_tokens++] = token;
    if (n_bytes) memcpy(shown->bytes + shown->n_bytes, bytes, n_bytes);
    shown->n_bytes += n_bytes;
    return true;
}

/* Cuts the text before the first --stop in it. */
static bool find_stop(const generate_options *options, shown_text *shown)
{
    const char *first = NULL, *begin = shown->bytes + shown->n_shown;
    size_t n = shown->n_bytes - shown->n_shown;
    for (int i = 0; i < options->stops.n && n > 0; i++) {
        const char *stop = options->stops.texts[i];
        const char *found = memmem(begin, n, stop, strlen(stop));
        if (found && (!first || found < first)) first = found;
    }
    if (first) shown->n_bytes = (size_t)(first - shown->bytes);
    return first != NULL;
}

/* Bytes at the end that may be the beginning of a --stop. */
static size_t count_held(const generate_options *options, const shown_text *shown)
{
    size_t held = 0, n = shown->n_bytes - shown->n_shown;
    for (int i = 0; i < options->stops.n; i++) {
        size_t length = strlen(options->stops.texts[i]) - 1;
        for (size_t part = length < n ? length : n; part > held; part--)
            if (memcmp(shown->bytes + shown->n_bytes - part, options->stops.texts[i], part) ==
                0)
                held = part;
    }
    return held;
}

static void put_bytes(shown_text *shown, size_t until)
{
    while (shown->n_shown < until)
        text_stream_put(&shown->stream, (unsigned char)shown->bytes[shown->n_shown++]);
}

static void put_prompt(const generate_show *show, int index)
{
    const ringmoe_prompt *prompt = &show->prompts->prompts[index];
    shown_text *shown = &show->texts[index];
    if (show->options->json) return;
    if (show->prompts->n > 1) fprintf(shown->stream.out, "--- %d ---\n", index + 1);
    for (int64_t i = 0; i < prompt->n_tokens && !show->options->chat; i++) {
        char number[16];
        int n;
        const char *bytes = words_bytes(show->words, prompt->tokens[i], i == 0, &n, number);
        for (int j = 0; j < n; j++) text_stream_put(&shown->stream, (unsigned char)bytes[j]);
    }
}

/* --- in turn --- */

static void end_text(const generate_show *show, shown_text *shown)
{
    if (shown->has_ended) return;
    put_bytes(shown, shown->n_bytes);
    text_stream_end(&shown->stream);
    if (!show->options->json) fputc('\n', shown->stream.out);
    shown->has_ended = true;
}

static bool print_text(shown_text *shown)
{
    if (fflush(shown->stream.out) != 0) return false;
    fwrite(shown->text + shown->n_printed, 1, shown->text_size - shown->n_printed, stdout);
    shown->n_printed = shown->text_size;
    return fflush(stdout) == 0;
}

/* What there is of the texts whose turn it is. */
static bool print_current(generate_show *show)
{
    if (show->options->json) return true;
    while (show->current < show->prompts->n) {
        shown_text *shown = &show->texts[show->current];
        if (show->results[show->current].end != RINGMOE_END_NONE || shown->has_stopped)
            end_text(show, shown);
        if (!print_text(shown)) return false;
        if (!shown->has_ended) return true;
        show->current++;
    }
    return true;
}

int show_token(generate_show *show, int text, int32_t token)
{
    shown_text *shown = &show->texts[text];
    if (!append(show, shown, token)) {
        show->is_short_of_memory = true;
        return RINGMOE_ALL_STOP;
    }
    shown->has_stopped = find_stop(show->options, shown);
    size_t held = shown->has_stopped ? 0 : count_held(show->options, shown);
    put_bytes(shown, shown->n_bytes - held);
    if (!print_current(show)) return RINGMOE_ALL_STOP;
    return shown->has_stopped ? RINGMOE_TEXT_ENDS : RINGMOE_TEXT_GOES_ON;
}

/* --- beginning and end --- */

void show_free(generate_show *show)
{
    for (int i = 0; show && show->texts && i < show->prompts->n; i++) {
        shown_text *shown = &show->texts[i];
        if (shown->stream.out) fclose(shown->stream.out);
        free(shown->tokens);
        free(shown->bytes);
        free(shown->text);
    }
    if (show) free(show->texts);
    free(show);
}

generate_show *show_create(const generate_options *options, const generate_words *words,
                           const generate_prompts *prompts, const ringmoe_text_result *results)
{
    generate_show *show = calloc(1, sizeof *show);
    shown_text *texts = calloc((size_t)prompts->n, sizeof *texts);
    if (!show || !texts) {
        free(show);
        free(texts);
        return NULL;
    }
    *show = (generate_show){options, words, prompts, results, texts, 0, false};
    for (int i = 0; i < prompts->n; i++) {
        FILE *memory = open_memstream(&texts[i].text, &texts[i].text_size);
        if (!memory) {
            show_free(show);
            return NULL;
        }
        text_stream_begin(&texts[i].stream, memory);
        put_prompt(show, i);
    }
    return show;
}

bool show_finish(generate_show *show)
{
    bool all = !show->is_short_of_memory;
    for (int i = 0; i < show->prompts->n; i++) end_text(show, &show->texts[i]);
    for (int i = show->current; i < show->prompts->n && all && !show->options->json; i++)
        all = print_text(&show->texts[i]);
    return all;
}

static json_t *text_to_json(const generate_show *show, int index)
{
    static const char *const ends[] = {[RINGMOE_END_NONE] = "none",
                                       [RINGMOE_END_LENGTH] = "length",
                                       [RINGMOE_END_STOP_TOKEN] = "stop-token",
                                       [RINGMOE_END_CALLER] = "stop"};
    const shown_text *shown = &show->texts[index];
    json_t *tokens = json_array();
    for (size_t i = 0; i < shown->n_tokens; i++)
        json_array_append_new(tokens, json_integer(shown->tokens[i]));
    fflush(shown->stream.out);
    return json_pack("{s:I, s:s, s:o, s:s}", "prompt_tokens",
                     (json_int_t)show->prompts->prompts[index].n_tokens, "text", shown->text,
                     "tokens", tokens, "end", ends[show->results[index].end]);
}

static double rate(int64_t n, double seconds)
{
    return seconds > 0 ? (double)n / seconds : 0;
}

/* Those too that came of reading a prompt, which figures->new_tokens and the rate leave out. */
static int64_t count_made(const generate_show *show)
{
    int64_t n = 0;
    for (int i = 0; i < show->prompts->n; i++) n += show->results[i].n_new;
    return n;
}

json_t *show_to_json(const generate_show *show, const ringmoe_generate_figures *figures)
{
    json_t *texts = json_array();
    for (int i = 0; i < show->prompts->n; i++)
        json_array_append_new(texts, text_to_json(show, i));
    return json_pack("{s:o, s:I, s:o, s:o, s:I, s:o, s:o, s:I}", "texts", texts,
                     "prompt_tokens", (json_int_t)figures->prompt_tokens, "prompt_seconds",
                     json_number(figures->prompt_seconds), "prompt_tokens_per_s",
                     json_number(rate(figures->prompt_tokens, figures->prompt_seconds)),
                     "new_tokens", (json_int_t)count_made(show), "token_seconds",
                     json_number(figures->token_seconds), "tokens_per_s",
                     json_number(rate(figures->new_tokens, figures->token_seconds)),
                     "token_passes", (json_int_t)figures->token_passes);
}

void show_speed(const generate_show *show, const ringmoe_generate_figures *figures)
{
    fprintf(stderr,
            "%lld tokens of prompts read, %.1f a second; %lld tokens made, %.1f a second\n",
            (long long)figures->prompt_tokens,
            rate(figures->prompt_tokens, figures->prompt_seconds), (long long)count_made(show),
            rate(figures->new_tokens, figures->token_seconds));
}
