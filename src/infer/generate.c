/* SPDX-License-Identifier: MIT
 *
 * Continuing a prompt: the prompt goes through the model in batches, then each new token alone,
 * while keys and values of all positions stay in a cache: those of this rank's layers and
 * heads. Every rank gets the same logits to the last bit and draws the same numbers, so the
 * ranks need only agree on whether to stop.
 */
#include <string.h>
#include <xxhash.h>

#include "comm/mesh.h"
#include "infer/sample.h"
#include "model/model.h"

typedef struct generation {
    ringmoe_model *model;
    const ringmoe_model_config *config;
    const ringmoe_generate_settings *settings;
    const rm_axis *axis; /* all ranks */
    rm_error *error;
    const int32_t *prompt;
    int64_t n_prompt;

    rm_arena arena; /* what follows */
    rm_kv_cache cache;
    rm_real *logits;    /* [vocab] */
    rm_candidate *pool; /* [vocab] */
} generation;

void ringmoe_generate_settings_default(ringmoe_generate_settings *settings)
{
    *settings =
        (ringmoe_generate_settings){.max_new_tokens = 256, .temperature = 0.8, .top_p = 0.95};
}

static ringmoe_status check_lengths(const generation *run)
{
    int64_t most = run->config->max_position_embeddings;
    if (run->settings->max_new_tokens < 0)
        return rm_fail(run->error, RINGMOE_ERROR_ARGUMENT,
                       "max_new_tokens is %lld; it must be 0 or above",
                       (long long)run->settings->max_new_tokens);
    if (run->n_prompt < 1 || !run->prompt)
        return rm_fail(run->error, RINGMOE_ERROR_ARGUMENT,
                       "the prompt is empty; give at least one token");
    if (run->n_prompt > most || run->settings->max_new_tokens > most - run->n_prompt)
        return rm_fail(run->error, RINGMOE_ERROR_ARGUMENT,
                       "a prompt of %lld tokens and max_new_tokens %lld are more than the %lld "
                       "positions of the model (max_position_embeddings)",
                       (long long)run->n_prompt, (long long)run->settings->max_new_tokens,
                       (long long)most);
    return RINGMOE_OK;
}

static ringmoe_status check_arguments(const generation *run)
{
    RM_TRY(rm_sample_check(run->settings, run->error));
    RM_TRY(check_lengths(run));
    for (int64_t i = 0; i < run->n_prompt; i++)
        if (run->prompt[i] < 0 || run->prompt[i] >= run->config->vocab_size)
            return rm_fail(run->error, RINGMOE_ERROR_ARGUMENT,
                           "token %lld of the prompt is %d; it must be 0..%d", (long long)i,
                           run->prompt[i], run->config->vocab_size - 1);
    return RINGMOE_OK;
}

/* A double as the integer of its bits, so that ranks can compare it. */
static int64_t bits_of(double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static ringmoe_status check_agreement(const generation *run)
{
    const ringmoe_generate_settings *settings = run->settings;
    int64_t lengths[] = {run->n_prompt, settings->max_new_tokens};
    int64_t rest[] = {
        settings->seed, settings->top_k, bits_of(settings->temperature),
        bits_of(settings->top_p),
        (int64_t)XXH64(run->prompt, (size_t)run->n_prompt * sizeof *run->prompt, 0)};
    RM_TRY(rm_agree_equal(run->axis, lengths, 2, "n_prompt and max_new_tokens", run->error));
    return rm_agree_equal(run->axis, rest, 5, "seed, top_k, temperature, top_p or prompt",
                          run->error);
}

/* The same calls measure the arena and fill it. */
static void lay_out(generation *run)
{
    const ringmoe_model_config *config = run->config;
    rm_arena *arena = &run->arena;
    int64_t row = rm_model_kv_width(run->model);
    int n_layers = config->num_hidden_layers;
    run->cache.capacity = run->n_prompt + run->settings->max_new_tokens;
    run->cache.keys = RM_TAKE(arena, n_layers, rm_real *);
    run->cache.values = RM_TAKE(arena, n_layers, rm_real *);
    for (int i = 0; i < n_layers; i++) {
        if (!rm_model_has_layer(run->model, i)) continue;
        rm_real *keys = RM_TAKE(arena, run->cache.capacity * row, rm_real);
        rm_real *values = RM_TAKE(arena, run->cache.capacity * row, rm_real);
        if (!arena->base) continue;
        run->cache.keys[i] = keys;
        run->cache.values[i] = values;
    }
    run->logits = RM_TAKE(arena, config->vocab_size, rm_real);
    run->pool = RM_TAKE(arena, config->vocab_size, rm_candidate);
}

static ringmoe_status allocate(generation *run)
{
    lay_out(run);
    RM_TRY(rm_arena_reserve(&run->arena, run->arena.used, run->error));
    lay_out(run);
    return RINGMOE_OK;
}

static ringmoe_status read_prompt(generation *run)
{
    int64_t most = rm_model_max_tokens(run->model);
    for (int64_t done = 0; done < run->n_prompt;) {
        int64_t n = run->n_prompt - done < most ? run->n_prompt - done : most;
        RM_TRY(
            rm_model_decode(run->model, &run->cache, done, run->prompt + done, n, run->logits));
        done += n;
    }
    return RINGMOE_OK;
}

/* Hands a token over, if drawing it went well; all ranks stop if one wants to or could not. */
static ringmoe_status deliver(const generation *run, int64_t index, ringmoe_status drawn,
                              int32_t token, ringmoe_token_function on_token, void *user)
{
    bool failed = drawn != RINGMOE_OK;
    int stop = on_token && !failed ? on_token(user, token) != 0 : 0;
    int all[4] = {stop, token, -token, failed};
    RM_TRY(rm_allreduce(run->axis, all, 4, MPI_INT, MPI_MAX, run->error));
    if (all[3]) return rm_agree(run->axis, drawn, run->error);
    if (all[1] != -all[2])
        return rm_fail(run->error, RINGMOE_ERROR_MISMATCH,
                       "the ranks drew different tokens (%d here) at new token %lld; are their "
                       "weights and processors alike?",
                       token, (long long)index);
    if (all[0])
        return rm_fail(run->error, RINGMOE_ERROR_INTERRUPTED,
                       "stopped by the caller after %lld new tokens", (long long)index + 1);
    return RINGMOE_OK;
}

static ringmoe_status write_tokens(generation *run, ringmoe_token_function on_token, void *user)
{
    const ringmoe_generate_settings *settings = run->settings;
    for (int64_t i = 0; i < settings->max_new_tokens; i++) {
        int64_t position = run->n_prompt + i;
        int32_t token = 0;
        ringmoe_status drawn = rm_sample(settings, run->logits, run->config->vocab_size,
                                         position, run->pool, &token, run->error);
        RM_TRY(deliver(run, i, drawn, token, on_token, user));
        if (i + 1 < settings->max_new_tokens)
            RM_TRY(rm_model_decode(run->model, &run->cache, position, &token, 1, run->logits));
    }
    return RINGMOE_OK;
}

ringmoe_status ringmoe_generate(ringmoe_model *model, const int32_t *prompt, int64_t n_prompt,
                                const ringmoe_generate_settings *settings,
                                ringmoe_token_function on_token, void *user)
{
    ringmoe_context *context = rm_model_mesh(model)->context;
    ringmoe_generate_settings defaults;
    ringmoe_generate_settings_default(&defaults);
    generation run = {.model = model,
                      .config = ringmoe_model_get_config(model),
                      .settings = settings ? settings : &defaults,
                      .axis = &context->world,
                      .error = &context->error,
                      .prompt = prompt,
                      .n_prompt = n_prompt};
    RM_TRY(rm_agree(run.axis, check_arguments(&run), run.error));
    RM_TRY(check_agreement(&run));
    ringmoe_status status = rm_agree(run.axis, allocate(&run), run.error);
    if (status == RINGMOE_OK) status = read_prompt(&run);
    if (status == RINGMOE_OK) status = write_tokens(&run, on_token, user);
    rm_arena_free(&run.arena);
    return status;
}
