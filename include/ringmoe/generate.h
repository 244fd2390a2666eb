/* SPDX-License-Identifier: MIT
 *
 * Sampling from a trained model with a key-value cache: several texts at once, each at its own
 * position.
 *
 * A text's tokens depend on its prompt, its seed and the settings alone: they are the same
 * alone and beside others, read in any batches, on one rank and on several (over the tensor
 * axis if the model is reproducible).
 */
#ifndef RINGMOE_GENERATE_H
#define RINGMOE_GENERATE_H

#include <ringmoe/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_generate_settings {
    int64_t max_new_tokens;    /**< of each text, 0 or above; default 256 */
    double temperature;        /**< 0..1e6; 0: the likeliest token always; default 0.8 */
    int top_k;                 /**< only the k likeliest; 0 (default): all */
    double top_p;              /**< smallest set with this share of the probability, above 0 and
                                    at most 1 (all); default 0.95 */
    double min_p;              /**< only tokens at least this share as likely as the likeliest,
                                    0..1; default 0 (all) */
    double repetition_penalty; /**< positive logits of tokens that the text has already are
                                    divided by this, negative ones multiplied; 1e-6..1e6;
                                    default 1 */
    int64_t seed;              /**< default 0 */
    const int32_t *stop_tokens; /**< [n_stop_tokens] which end a text and are not part of it;
                                     default none */
    int n_stop_tokens;
} ringmoe_generate_settings;

/** Fills every field with its default. Local. */
RINGMOE_API void ringmoe_generate_settings_default(ringmoe_generate_settings *settings);

/** What is to be continued. */
typedef struct ringmoe_prompt {
    const int32_t *tokens; /**< at least one; with max_new_tokens at most
                                max_position_embeddings */
    int64_t n_tokens;
    int64_t seed; /**< added to the settings': equal prompts with equal seeds become equal texts
                   */
} ringmoe_prompt;

/** What a ringmoe_token_function may answer. */
enum {
    RINGMOE_TEXT_GOES_ON = 0,
    RINGMOE_TEXT_ENDS = 1, /**< this one; the others go on */
    RINGMOE_ALL_STOP = 2   /**< ringmoe_generate returns INTERRUPTED */
};
/** Receives each new token as it comes, on every rank; `text` is the prompt's index. The
 * greatest of the ranks' answers counts. */
typedef int (*ringmoe_token_function)(void *user, int text, int32_t token);

/** Why a text ended. */
typedef enum ringmoe_text_end {
    RINGMOE_END_NONE = 0,       /**< it did not: generate failed or was stopped before */
    RINGMOE_END_LENGTH = 1,     /**< max_new_tokens */
    RINGMOE_END_STOP_TOKEN = 2, /**< one of the stop tokens */
    RINGMOE_END_CALLER = 3      /**< the token function said so */
} ringmoe_text_end;

/** What became of one prompt. */
typedef struct ringmoe_text_result {
    int64_t n_new;        /**< tokens handed over */
    ringmoe_text_end end; /**< why no more came */
} ringmoe_text_result;

/** What a call did on this rank, over all texts. */
typedef struct ringmoe_generate_figures {
    int64_t prompt_tokens; /**< read */
    double prompt_seconds; /**< and how long that took */
    int64_t new_tokens;    /**< made from one that was made before: all but each text's first,
                                which comes of reading its prompt; the results' n_new count it */
    double token_seconds;  /**< and how long that took, sampling and the token function
                                included */
    int64_t token_passes;  /**< passes through the model in which that was done */
    int64_t token_bytes;   /**< weights, keys and values that those passes read on this rank:
                                each expert that was chosen once a pass */
} ringmoe_generate_figures;

/**
 * Continues prompts: max_sequences of the model's settings at a time, the next prompt as soon
 * as a text has ended. Collective over the mesh; every rank gives the same prompts and settings
 * and sees the same tokens.
 *   prompts, n_prompts  in   at least one
 *   settings            in   NULL: the defaults
 *   on_token, user      in   called for each new token; NULL: nobody is
 *   results             out  [n_prompts], written after a failure too; NULL: not wanted
 *   figures             out  NULL: not wanted
 * Returns OK; ARGUMENT (names the setting); INTERRUPTED (on_token said so, on any rank);
 * NUMERIC (the model's logits are not finite); MISMATCH (ranks gave different prompts or
 * settings); FILE (experts that were left in their file cannot be read); MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_generate(ringmoe_model *model, const ringmoe_prompt *prompts,
                                            int n_prompts,
                                            const ringmoe_generate_settings *settings,
                                            ringmoe_token_function on_token, void *user,
                                            ringmoe_text_result *results,
                                            ringmoe_generate_figures *figures);

#ifdef __cplusplus
}
#endif
#endif
