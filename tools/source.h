/* SPDX-License-Identifier: MIT
 *
 * Where a command's data and model come from: the words behind --data and --model.
 */
#ifndef TOOLS_SOURCE_H
#define TOOLS_SOURCE_H

#include "session.h"

#define SOURCE_PATH 4096

/* Bytes of the synthetic language, and the part at its end that is held out by default. */
#define SYNTHETIC_TOKENS ((int64_t)1 << 22)
#define HELD_OUT_FRACTION 0.05

/* The words of --format, in the order of ringmoe_token_format. */
#define FORMAT_WORDS "auto|text|u16|u32|llmc|megatron"

/* What --data and its like say. */
typedef struct source_text {
    const char *path; /* or "synthetic" */
    int format;
    int vocab_size;                     /* the model's */
    int64_t seed;                       /* of the synthetic language */
    const ringmoe_tokenizer *tokenizer; /* for text; NULL: its bytes are the tokens */
} source_text;

/* Whether a tokenizer has something to do: no ids, nor the synthetic language. */
bool source_is_text(const source_text *text);
/* Opens "synthetic" or a path, which ranks tokenize together. Collective. Returns an exit
 * status, as the functions below do. */
int source_tokens(tool_session *session, const source_text *text, ringmoe_tokens **tokens);
/* Opens a tokenizer and refuses one with more ids than the model has. */
int source_tokenizer(tool_session *session, const char *path, int vocab_size,
                     ringmoe_tokenizer **tokenizer);
/* False if a model brings no tokenizer; of a GGUF file only opening it tells (STATE: none). */
bool source_may_have_tokenizer(const char *model);
/* The same for the one that a model brings; NULL if it brings none. */
int source_own_tokenizer(tool_session *session, const char *model, int vocab_size,
                         ringmoe_tokenizer **tokenizer);

/* The configuration of a preset, a config.json, a model's folder or a run's folder. */
int source_config(tool_session *session, const char *model, ringmoe_model_config *config);

/* The folder with the weights: `model` itself, which may be a GGUF file too, or the newest
 * checkpoint of the run there. */
int source_weights(tool_session *session, const char *model, char folder[SOURCE_PATH]);

/* The same, where a preset (path "") or a config.json is no error. */
int source_find(tool_session *session, const char *model, char path[SOURCE_PATH],
                bool *has_weights);

/* The words of --weights, in the order of ringmoe_weights. */
#define WEIGHTS_WORDS "auto|fp32|bf16|q8_0|q4_0"

/* How weights are kept: as --weights says; if it does not, as --precision does; else auto. */
ringmoe_weights source_forms(const option_set *set, const option_result *given, int weights,
                             int precision);
/* "experts q4_0, head q8_0, others bf16", or "bf16" if all are alike. */
typedef struct forms_text {
    char text[64];
} forms_text;
forms_text source_forms_words(const ringmoe_model *model);

/* Finds them and lays out the mesh for them. `path` becomes where they are. */
int source_lay_out(tool_session *session, const tool_placement *placement, const char *model,
                   char path[SOURCE_PATH]);
/* The same, and loads them onto it. */
int source_model(tool_session *session, const tool_placement *placement, const char *model,
                 const ringmoe_load_settings *settings, char path[SOURCE_PATH],
                 ringmoe_model **loaded);

#endif
