/* SPDX-License-Identifier: MIT
 *
 * Sampling from a trained model with a key-value cache.
 */
#ifndef RINGMOE_GENERATE_H
#define RINGMOE_GENERATE_H

#include <ringmoe/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_generate_settings {
    int64_t max_new_tokens; /**< 0 or above; default 256 */
    double temperature;     /**< 0..1e6; 0: the likeliest token always; default 0.8 */
    int top_k;              /**< only the k likeliest; 0 (default): all */
    double top_p;           /**< smallest set with this share of the probability, above 0 and
                                 at most 1 (all); default 0.95 */
    int64_t seed;           /**< default 0 */
} ringmoe_generate_settings;

/** Fills every field with its default. Local. */
RINGMOE_API void ringmoe_generate_settings_default(ringmoe_generate_settings *settings);

/** Receives each new token as it comes, on every rank; returns 0 to go on, else to stop. */
typedef int (*ringmoe_token_function)(void *user, int32_t token);

/**
 * Continues a prompt. Collective over the mesh; every rank gives the same prompt and sees the
 * same tokens.
 *   prompt, n_prompt  in  at least one token; with max_new_tokens at most
 *                         max_position_embeddings
 *   settings          in  NULL: the defaults
 *   on_token, user    in  called for each new token; NULL: nobody is
 * Returns OK; ARGUMENT (names the setting); INTERRUPTED (on_token said so, on any rank);
 * NUMERIC (the model's logits are not finite); MISMATCH (ranks gave different prompts or
 * settings); MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_generate(ringmoe_model *model, const int32_t *prompt,
                                            int64_t n_prompt,
                                            const ringmoe_generate_settings *settings,
                                            ringmoe_token_function on_token, void *user);

#ifdef __cplusplus
}
#endif
#endif
