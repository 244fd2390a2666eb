/* SPDX-License-Identifier: MIT
 *
 * Continuing prompts: pass after pass through the model (infer/texts.h) gives logits, of which
 * each text gets its next token. Every rank gets the same logits to the last bit and draws the
 * same numbers, so the ranks need only agree on what goes on.
 */
#include "base/clock.h"
#include "comm/mesh.h"
#include "infer/check.h"
#include "infer/sample.h"
#include "infer/texts.h"

/* What the ranks tell one another of a drawn token; the greatest of each counts. */
typedef struct verdict {
    int answer, token, minus_token, failed;
} verdict;

typedef struct generation {
    ringmoe_model *model;
    const ringmoe_generate_settings *settings;
    const rm_axis *axis; /* all ranks */
    rm_error *error;
    ringmoe_token_function on_token;
    void *user;
    ringmoe_text_result *results; /* or NULL */
    ringmoe_generate_figures figures;
    int64_t experts_used, positions_read; /* by the passes that make tokens */

    rm_arena arena; /* what follows */
    rm_texts texts;
    rm_real *logits;    /* [places][vocab] */
    rm_candidate *pool; /* [places][vocab] */
    int *drawn_of;      /* [places], run of each drawn token */
    verdict *verdicts;  /* [places] */
} generation;

void ringmoe_generate_settings_default(ringmoe_generate_settings *settings)
{
    *settings = (ringmoe_generate_settings){
        .max_new_tokens = 256, .temperature = 0.8, .top_p = 0.95, .repetition_penalty = 1};
}

/* The same calls measure the arena and fill it. */
static void lay_out(generation *run, const ringmoe_prompt *prompts, int n_prompts)
{
    rm_arena *arena = &run->arena;
    rm_texts_layout(&run->texts, run->model, prompts, n_prompts, run->settings->max_new_tokens,
                    arena);
    int64_t places = run->texts.cache.n_places, vocab = run->texts.vocab_size;
    run->logits = RM_TAKE(arena, places * vocab, rm_real);
    run->pool = RM_TAKE(arena, places * vocab, rm_candidate);
    run->drawn_of = RM_TAKE(arena, places, int);
    run->verdicts = RM_TAKE(arena, places, verdict);
}

static ringmoe_status allocate(generation *run, const ringmoe_prompt *prompts, int n_prompts)
{
    lay_out(run, prompts, n_prompts);
    RM_TRY(rm_arena_reserve(&run->arena, run->arena.used, run->error));
    lay_out(run, prompts, n_prompts);
    return RINGMOE_OK;
}

static rm_text *text_of(const generation *run, int drawn)
{
    return &run->texts.texts[run->texts.runs[run->drawn_of[drawn]].place];
}

/* Draws the next token of a text from its logits, which are used up if that goes well. */
static ringmoe_status draw_one(const generation *run, int drawn, rm_error *error)
{
    const rm_text *text = text_of(run, drawn);
    const rm_kernels *kernels = rm_model_mesh(run->model)->context->compute.kernels;
    int64_t vocab = run->texts.vocab_size;
    rm_sampling sampling = {.settings = run->settings,
                            .seen = text->seen,
                            .seed = text->source->seed,
                            .position = text->source->n_tokens + text->n_new};
    int32_t token = 0;
    ringmoe_status status =
        rm_sample(&sampling, kernels, (int)vocab, run->logits + drawn * vocab,
                  run->pool + drawn * vocab, &token, error);
    run->verdicts[drawn] =
        (verdict){.token = token, .minus_token = -token, .failed = status != RINGMOE_OK};
    return status;
}

/* The same for each text that has logits; returns how many those are. What fails fails again
 * where its message can be kept. */
static int draw_all(generation *run, ringmoe_status *status)
{
    int n_threads = rm_model_mesh(run->model)->context->compute.n_threads, n = 0;
    for (int i = 0; i < run->texts.n_runs; i++)
        if (run->texts.runs[i].wants_logits) run->drawn_of[n++] = i;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic) if (n > 1)
    for (int i = 0; i < n; i++) {
        rm_error ignored = {""};
        draw_one(run, i, &ignored);
    }
    *status = RINGMOE_OK;
    for (int i = 0; i < n && *status == RINGMOE_OK; i++)
        if (run->verdicts[i].failed) *status = draw_one(run, i, run->error);
    return n;
}

static bool is_stop_token(const generation *run, int32_t token)
{
    for (int i = 0; i < run->settings->n_stop_tokens; i++)
        if (run->settings->stop_tokens[i] == token) return true;
    return false;
}

/* Hands the drawn tokens over and brings the ranks' answers together. */
static ringmoe_status deliver(generation *run, int n, ringmoe_status drawn)
{
    bool failed = false;
    for (int i = 0; i < n; i++) failed |= run->verdicts[i].failed;
    for (int i = 0; i < n && !failed; i++) {
        verdict *own = &run->verdicts[i];
        if (run->on_token && !is_stop_token(run, own->token))
            own->answer = run->on_token(run->user, text_of(run, i)->prompt, own->token);
    }
    RM_TRY(rm_allreduce(run->axis, run->verdicts, 4 * n, MPI_INT, MPI_MAX, run->error));
    for (int i = 0; i < n; i++)
        if (run->verdicts[i].failed) return rm_agree(run->axis, drawn, run->error);
    return RINGMOE_OK;
}

/* A text has ended: its place becomes free. */
static void end_text(generation *run, rm_text *text, ringmoe_text_end end)
{
    if (run->results)
        run->results[text->prompt] = (ringmoe_text_result){.n_new = text->n_new, .end = end};
    text->prompt = -1;
}

/* What all ranks said of one drawn token. */
static ringmoe_status settle(generation *run, int drawn)
{
    const verdict *said = &run->verdicts[drawn];
    rm_text *text = text_of(run, drawn);
    if (said->token != -said->minus_token)
        return rm_fail(run->error, RINGMOE_ERROR_MISMATCH,
                       "the ranks drew different tokens (%d and %d) at new token %lld of "
                       "prompt %d; are their weights and processors alike?",
                       -said->minus_token, said->token, (long long)text->n_new, text->prompt);
    if (is_stop_token(run, said->token)) {
        end_text(run, text, RINGMOE_END_STOP_TOKEN);
        return RINGMOE_OK;
    }
    rm_text_append(text, said->token);
    if (run->results) run->results[text->prompt].n_new = text->n_new;
    if (said->answer >= RINGMOE_ALL_STOP)
        return rm_fail(run->error, RINGMOE_ERROR_INTERRUPTED,
                       "stopped by the caller after %lld new tokens of prompt %d",
                       (long long)text->n_new, text->prompt);
    if (said->answer != RINGMOE_TEXT_GOES_ON)
        end_text(run, text, RINGMOE_END_CALLER);
    else if (text->n_new == run->settings->max_new_tokens)
        end_text(run, text, RINGMOE_END_LENGTH);
    return RINGMOE_OK;
}

static ringmoe_status run_pass(generation *run)
{
    ringmoe_status drawn;
    rm_texts *texts = &run->texts;
    rm_decode_batch batch = {.cache = &texts->cache,
                             .runs = texts->runs,
                             .n_runs = texts->n_runs,
                             .tokens = texts->tokens,
                             .generated = !texts->reads_prompts};
    RM_TRY(rm_agree(run->axis, rm_model_decode(run->model, &batch, run->logits), run->error));
    rm_texts_read(texts);
    int n = draw_all(run, &drawn);
    if (n > 0) RM_TRY(deliver(run, n, drawn));
    ringmoe_status status = RINGMOE_OK;
    for (int i = 0; i < n; i++) {
        ringmoe_status settled = settle(run, i);
        if (status == RINGMOE_OK) status = settled;
    }
    return status;
}

/* Positions whose keys and values a pass reads. */
static int64_t count_positions(const rm_texts *texts)
{
    int64_t n = 0;
    for (int i = 0; i < texts->n_runs; i++) n += texts->runs[i].n_past + texts->runs[i].n_new;
    return n;
}

static ringmoe_status run_all(generation *run)
{
    ringmoe_generate_figures *figures = &run->figures;
    while (rm_texts_next_pass(&run->texts)) {
        double start = rm_clock_seconds();
        int64_t experts = rm_model_experts_used(run->model);
        int64_t positions = count_positions(&run->texts);
        RM_TRY(run_pass(run));
        double seconds = rm_clock_seconds() - start;
        if (run->texts.reads_prompts) {
            figures->prompt_tokens += run->texts.n_rows;
            figures->prompt_seconds += seconds;
        } else {
            figures->new_tokens += run->texts.n_rows;
            figures->token_seconds += seconds;
            figures->token_passes++;
            run->experts_used += rm_model_experts_used(run->model) - experts;
            run->positions_read += positions;
        }
    }
    return RINGMOE_OK;
}

static void report(const generation *run, ringmoe_generate_figures *figures)
{
    ringmoe_model_bytes bytes;
    if (!figures) return;
    ringmoe_model_get_bytes(run->model, &bytes);
    *figures = run->figures;
    figures->token_bytes =
        rm_model_read_bytes(run->model, run->figures.token_passes, run->experts_used) +
        run->positions_read * bytes.position;
}

ringmoe_status ringmoe_generate(ringmoe_model *model, const ringmoe_prompt *prompts,
                                int n_prompts, const ringmoe_generate_settings *settings,
                                ringmoe_token_function on_token, void *user,
                                ringmoe_text_result *results, ringmoe_generate_figures *figures)
{
    ringmoe_context *context = rm_model_mesh(model)->context;
    ringmoe_generate_settings defaults;
    ringmoe_generate_settings_default(&defaults);
    if (!settings) settings = &defaults;
    generation run = {.model = model,
                      .settings = settings,
                      .axis = &context->world,
                      .error = &context->error,
                      .on_token = on_token,
                      .user = user,
                      .results = results};
    if (figures) *figures = (ringmoe_generate_figures){0};
    RM_TRY(rm_generate_check(model, prompts, n_prompts, settings));
    for (int i = 0; results && i < n_prompts; i++)
        results[i] = (ringmoe_text_result){
            .end = settings->max_new_tokens ? RINGMOE_END_NONE : RINGMOE_END_LENGTH};
    if (settings->max_new_tokens == 0) return RINGMOE_OK;
    ringmoe_status status = rm_agree(run.axis, allocate(&run, prompts, n_prompts), run.error);
    if (status == RINGMOE_OK) status = run_all(&run);
    report(&run, figures);
    rm_arena_free(&run.arena);
    return status;
}
