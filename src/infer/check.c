/* SPDX-License-Identifier: MIT */
#include "infer/check.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "comm/mesh.h"
#include "infer/sample.h"
#include "model/model.h"

typedef struct request {
    const ringmoe_model_config *config;
    const ringmoe_prompt *prompts;
    int n_prompts;
    const ringmoe_generate_settings *settings;
} request;

/* Token ids, of a prompt or of a list that ends texts. */
static ringmoe_status check_tokens(const request *asked, const int32_t *tokens, int64_t n,
                                   const char *what, rm_error *error)
{
    for (int64_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= asked->config->vocab_size)
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "token %lld of %s is %d; it must be "
                           "0..%d",
                           (long long)i, what, tokens[i], asked->config->vocab_size - 1);
    return RINGMOE_OK;
}

static ringmoe_status check_prompt(const request *asked, int index, rm_error *error)
{
    const ringmoe_prompt *prompt = &asked->prompts[index];
    int64_t most = asked->config->max_position_embeddings;
    char what[32];
    snprintf(what, sizeof what, "prompt %d", index);
    if (prompt->n_tokens < 1 || !prompt->tokens)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "prompt %d is empty; give at least one token", index);
    if (prompt->n_tokens > most || asked->settings->max_new_tokens > most - prompt->n_tokens)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "prompt %d of %lld tokens and max_new_tokens %lld are more than the "
                       "%lld positions of the model (max_position_embeddings): give fewer",
                       index, (long long)prompt->n_tokens,
                       (long long)asked->settings->max_new_tokens, (long long)most);
    return check_tokens(asked, prompt->tokens, prompt->n_tokens, what, error);
}

static ringmoe_status check_request(const request *asked, rm_error *error)
{
    const ringmoe_generate_settings *settings = asked->settings;
    RM_TRY(rm_sample_check(settings, error));
    if (settings->max_new_tokens < 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "max_new_tokens is %lld; it must be 0 or above",
                       (long long)settings->max_new_tokens);
    if (settings->n_stop_tokens < 0 || (settings->n_stop_tokens > 0 && !settings->stop_tokens))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "n_stop_tokens is %d; it must be 0 or above, and stop_tokens be so many",
                       settings->n_stop_tokens);
    RM_TRY(check_tokens(asked, settings->stop_tokens, settings->n_stop_tokens, "stop_tokens",
                        error));
    if (asked->n_prompts < 1 || !asked->prompts)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%d prompts; there must be at least one",
                       asked->n_prompts);
    for (int i = 0; i < asked->n_prompts; i++) RM_TRY(check_prompt(asked, i, error));
    return RINGMOE_OK;
}

/* A double as the integer of its bits, so that ranks can compare it. */
static int64_t bits_of(double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static int64_t hash_prompts(const request *asked)
{
    XXH64_hash_t hash = 0;
    for (int i = 0; i < asked->n_prompts; i++) {
        const ringmoe_prompt *prompt = &asked->prompts[i];
        hash = XXH64(&prompt->n_tokens, sizeof prompt->n_tokens, hash);
        hash = XXH64(&prompt->seed, sizeof prompt->seed, hash);
        hash = XXH64(prompt->tokens, (size_t)prompt->n_tokens * sizeof *prompt->tokens, hash);
    }
    return (int64_t)hash;
}

static int64_t hash_stop_tokens(const ringmoe_generate_settings *settings)
{
    if (settings->n_stop_tokens == 0) return 0;
    return (int64_t)XXH64(settings->stop_tokens,
                          (size_t)settings->n_stop_tokens * sizeof *settings->stop_tokens, 0);
}

static ringmoe_status check_agreement(const request *asked, const rm_axis *axis,
                                      rm_error *error)
{
    const ringmoe_generate_settings *settings = asked->settings;
    int64_t lengths[] = {asked->n_prompts, settings->max_new_tokens};
    int64_t rest[] = {settings->seed,
                      settings->top_k,
                      bits_of(settings->temperature),
                      bits_of(settings->top_p),
                      bits_of(settings->min_p),
                      bits_of(settings->repetition_penalty),
                      hash_stop_tokens(settings),
                      hash_prompts(asked)};
    RM_TRY(rm_agree_equal(axis, lengths, 2, "n_prompts and max_new_tokens", error));
    return rm_agree_equal(axis, rest, sizeof rest / sizeof *rest,
                          "seed, top_k, temperature, top_p, min_p, repetition_penalty, "
                          "stop_tokens or prompts",
                          error);
}

ringmoe_status rm_generate_check(ringmoe_model *model, const ringmoe_prompt *prompts,
                                 int n_prompts, const ringmoe_generate_settings *settings)
{
    ringmoe_context *context = rm_model_mesh(model)->context;
    request asked = {ringmoe_model_get_config(model), prompts, n_prompts, settings};
    RM_TRY(rm_agree(&context->world, check_request(&asked, &context->error), &context->error));
    return check_agreement(&asked, &context->world, &context->error);
}
