/* SPDX-License-Identifier: MIT
 *
 * `ringmoe generate`:
 *
 *   generate.c          the command: options, and the model at work
 *   generate_prompts.c  texts become tokens, on rank 0, which tells the others
 *   generate_words.c    what tokens are in a model's texts: by its tokenizer, bytes, or numbers
 *   generate_show.c     tokens become texts, as they come, and the figures
 */
#ifndef TOOLS_GENERATE_H
#define TOOLS_GENERATE_H

#include <ringmoe/tokenizer.h>

#include "session.h"
#include "text.h"

typedef struct generate_options {
    tool_placement placement;
    ringmoe_generate_settings sampling;
    ringmoe_load_settings load;
    const char *model, *tokenizer, *system;
    option_texts prompts, prompt_files, stops;
    int64_t top_k;
    int chat, json, speed, reproducible, weights, no_end;
    bool has_length; /* --max-new was given */
} generate_options;

/* --- generate_words.c --- */

/* How tokens and text belong together; of rank 0. */
typedef struct generate_words {
    ringmoe_tokenizer *tokenizer; /* NULL: tokens are bytes or numbers */
    bool are_bytes;
} generate_words;

/* Opens the tokenizer at `path`; if there is none there, tokens of a small vocabulary are
 * bytes. Fills `text` and returns false if there is one that cannot be used. */
bool words_open(generate_words *words, ringmoe_context *context, const char *path,
                bool must_be_there, int vocab_size, char *text, size_t size);
void words_close(generate_words *words);
/* The tokens of a text, in new memory; of a conversation's part if `chat`. False with `text`.
 */
bool words_encode(const generate_words *words, const generate_options *options,
                  ringmoe_context *context, int vocab_size, const char *bytes, int64_t n_bytes,
                  int32_t **tokens, int64_t *n_tokens, char *text, size_t size);
/* The bytes of a token in a text, number `index` of it. */
const char *words_bytes(const generate_words *words, int32_t token, bool is_first, int *n_bytes,
                        char number[16]);

/* --- generate_prompts.c --- */

typedef struct generate_prompts {
    ringmoe_prompt *prompts; /* [n] */
    int n;
} generate_prompts;

/* All prompts that the options name, on every rank; a status. */
int prompts_read(tool_session *session, const generate_options *options,
                 const generate_words *words, int vocab_size, generate_prompts *prompts);
/* Whether they leave room for --max-new in a model of so many positions. If nobody asked for
 * it, it becomes less for one prompt; of several none is to depend on the others. A status. */
int prompts_fit(tool_session *session, generate_options *options,
                const generate_prompts *prompts, int64_t positions);
void prompts_free(generate_prompts *prompts);

/* --- generate_show.c --- */

/* The texts of rank 0, which is the only one that shows anything. Texts are shown one after the
 * other: the first that is not at its end as it comes, later ones are kept until then. */
typedef struct generate_show generate_show;

/* `results` are written meanwhile. NULL: no memory. */
generate_show *show_create(const generate_options *options, const generate_words *words,
                           const generate_prompts *prompts, const ringmoe_text_result *results);
void show_free(generate_show *show);
/* Takes a token; what a ringmoe_token_function answers. */
int show_token(generate_show *show, int text, int32_t token);
/* The rest, after all is made; false if the output cannot be written. */
bool show_finish(generate_show *show);
/* All of it; the caller owns it. After show_finish. */
json_t *show_to_json(const generate_show *show, const ringmoe_generate_figures *figures);
/* A line on the error output. */
void show_speed(const generate_show *show, const ringmoe_generate_figures *figures);

#endif
