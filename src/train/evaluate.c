/* SPDX-License-Identifier: MIT
 *
 * Loss of a model on a stream of tokens. Microbatches of consecutive sequences are dealt out to
 * the ranks of the dense axis round by round; in the last round a rank without one repeats the
 * last microbatch and forgets the result, since the experts of its peers wait for its tokens.
 * Rounds pass through the stages of the pipeline a number of them at a time.
 */
#include <math.h>
#include <stdlib.h>

#include "train/trainer.h"

/* Rounds that one run of the pipeline takes. */
enum { ROUNDS_AT_ONCE = 64 };

typedef struct evaluation {
    ringmoe_model *model;
    const ringmoe_tokens *stream;
    int64_t seq_len, microbatch, max_sequences; /* as asked for */
    int64_t n_sequences, n_microbatches;        /* as there are */
    rm_batch_buffer batch;
    double *losses;      /* [n_microbatches], 0 where another rank computed */
    int32_t *bad_layers; /* [n_microbatches]: the first that is not finite; INT32_MAX */
    int64_t first_round; /* of the run of the pipeline that is under way */
} evaluation;

static int64_t sequences_of(const evaluation *work, int64_t microbatch)
{
    int64_t left = work->n_sequences - microbatch * work->microbatch;
    return left < work->microbatch ? left : work->microbatch;
}

static void record(evaluation *work, int64_t microbatch, const rm_pass_result *result)
{
    int32_t *bad = &work->bad_layers[microbatch];
    if (rm_model_mesh(work->model)->tensor.rank != 0) return; /* the first one of them tells */
    work->losses[microbatch] += result->loss;
    if (result->first_bad_layer >= 0 && result->first_bad_layer < *bad)
        *bad = result->first_bad_layer;
}

/* A ringmoe_stage_function: one microbatch through one stage. */
static ringmoe_status evaluate_stage(void *user, const ringmoe_stage_call *call)
{
    evaluation *work = user;
    const rm_axis *dense = &rm_model_mesh(work->model)->dense;
    int64_t round = work->first_round + call->microbatch;
    int64_t microbatch = round * dense->size + dense->rank;
    bool spare = microbatch >= work->n_microbatches;
    if (spare) microbatch = work->n_microbatches - 1;
    rm_batch batch = {
        .tokens = work->batch.tokens,
        .targets = work->batch.targets,
        .n_sequences = sequences_of(work, microbatch),
        .seq_len = work->seq_len,
        .microbatch = (int32_t)(round % INT32_MAX),
        .global_microbatch = microbatch,
        .evaluate = true,
    };
    int64_t first = microbatch * work->microbatch;
    for (int64_t row = 0; row < batch.n_sequences; row++)
        rm_batch_buffer_fill(&work->batch, row, work->stream, (first + row) * batch.seq_len);
    rm_pass_result result;
    RM_TRY(rm_model_forward_stage(work->model, &batch, call, NULL, NULL, &result));
    if (!spare) record(work, microbatch, &result);
    return RINGMOE_OK;
}

/* Collective: `n_rounds` rounds from first_round on. */
static ringmoe_status run_rounds(evaluation *work, int n_rounds)
{
    ringmoe_mesh *mesh = rm_model_mesh(work->model);
    ringmoe_context *context = mesh->context;
    int n_chunks = rm_model_chunks(work->model);
    int64_t n_elements =
        work->microbatch * work->seq_len * ringmoe_model_get_config(work->model)->hidden_size;
    ringmoe_schedule *schedule = NULL;
    ringmoe_pipeline *pipeline = NULL;
    ringmoe_status status = ringmoe_schedule_create(context, "forward", mesh->pipeline.size,
                                                    n_rounds, n_chunks, &schedule);
    status = rm_agree(&context->world, status, &context->error);
    if (status == RINGMOE_OK)
        status = ringmoe_pipeline_create(mesh, schedule, n_elements, &pipeline);
    status = rm_agree(&context->world, status, &context->error);
    if (status == RINGMOE_OK)
        status = ringmoe_pipeline_run(pipeline, 0, evaluate_stage, work, NULL);
    ringmoe_pipeline_destroy(&pipeline);
    ringmoe_schedule_destroy(&schedule);
    return rm_agree(&context->world, status, &context->error);
}

static ringmoe_status evaluate_rounds(evaluation *work)
{
    int n_ranks = rm_model_mesh(work->model)->dense.size;
    int64_t n_rounds = (work->n_microbatches + n_ranks - 1) / n_ranks;
    for (; work->first_round < n_rounds; work->first_round += ROUNDS_AT_ONCE) {
        int64_t left = n_rounds - work->first_round;
        RM_TRY(run_rounds(work, left < ROUNDS_AT_ONCE ? (int)left : ROUNDS_AT_ONCE));
    }
    return RINGMOE_OK;
}

/* Each microbatch's loss is on one rank and 0 on the others, so the sums are exact. */
static ringmoe_status gather_losses(evaluation *work, const rm_axis *axis, rm_error *error)
{
    enum { PIECE = 1 << 20 };
    for (int64_t done = 0; done < work->n_microbatches; done += PIECE) {
        int64_t left = work->n_microbatches - done, piece = left < PIECE ? left : PIECE;
        RM_TRY(rm_allreduce(axis, work->losses + done, (int)piece, MPI_DOUBLE, MPI_SUM, error));
    }
    return RINGMOE_OK;
}

/* Names the layer of the first microbatch whose loss is not finite. Collective, since all ranks
 * have the same loss. */
static ringmoe_status fail_loss(const evaluation *work, double loss, const rm_axis *axis,
                                rm_error *error)
{
    int n_layers = ringmoe_model_get_config(work->model)->num_hidden_layers;
    int64_t first = 0;
    while (first + 1 < work->n_microbatches && isfinite(work->losses[first])) first++;
    int32_t layer = work->bad_layers[first];
    RM_TRY(rm_allreduce(axis, &layer, 1, MPI_INT32_T, MPI_MIN, error));
    return rm_fail(error, RINGMOE_ERROR_NUMERIC,
                   "the loss of the evaluation is %g; the first numbers that are not finite "
                   "come from %s; the model's weights are not usable: take an earlier "
                   "checkpoint",
                   loss, rm_bad_place(layer == INT32_MAX ? -1 : layer, n_layers).text);
}

static ringmoe_status summarize(const evaluation *work, ringmoe_eval_result *result,
                                const rm_axis *axis, rm_error *error)
{
    double sum = 0;
    for (int64_t m = 0; m < work->n_microbatches; m++)
        sum += work->losses[m] * (double)sequences_of(work, m);
    double loss = sum / (double)work->n_sequences;
    static const double log_2 = 0.693147180559945309417232121458;
    *result = (ringmoe_eval_result){
        .loss = loss,
        .perplexity = exp(loss),
        .bits_per_byte = ringmoe_tokens_are_bytes(work->stream) ? loss / log_2 : NAN,
        .tokens = work->n_sequences * work->seq_len,
    };
    return isfinite(loss) ? RINGMOE_OK : fail_loss(work, loss, axis, error);
}

static ringmoe_status check(const evaluation *work, rm_error *error)
{
    int64_t most_tokens = rm_model_max_tokens(work->model);
    int most_positions = ringmoe_model_get_config(work->model)->max_position_embeddings;
    if (work->seq_len < 1 || work->seq_len > most_positions)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "seq_len is %lld; it must be 1..%d, the model's max_position_embeddings",
                       (long long)work->seq_len, most_positions);
    if (work->microbatch < 1 || work->microbatch > most_tokens / work->seq_len)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "microbatch is %lld; with sequences of %lld it must be 1..%lld, for the "
                       "model was made for %lld tokens at a time",
                       (long long)work->microbatch, (long long)work->seq_len,
                       (long long)(most_tokens / work->seq_len), (long long)most_tokens);
    if (work->max_sequences < 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "max_sequences is %lld; it must be at least 0 (0: all)",
                       (long long)work->max_sequences);
    return RINGMOE_OK;
}

static ringmoe_status count_sequences(evaluation *work, rm_error *error)
{
    int64_t n_tokens = ringmoe_tokens_count(work->stream), seq_len = work->seq_len;
    int64_t n_sequences = (n_tokens - 1) / seq_len;
    if (n_sequences < 1)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "the text to evaluate on has %lld tokens; one sequence of %lld and its "
                       "last target take %lld: give a longer text or a smaller seq_len",
                       (long long)n_tokens, (long long)seq_len, (long long)seq_len + 1);
    if (work->max_sequences > 0 && n_sequences > work->max_sequences)
        n_sequences = work->max_sequences;
    work->n_sequences = n_sequences;
    work->n_microbatches = (n_sequences + work->microbatch - 1) / work->microbatch;
    return rm_token_ids_check(work->stream, 0, n_sequences * seq_len + 1,
                              ringmoe_model_get_config(work->model)->vocab_size, error);
}

static ringmoe_status prepare(evaluation *work, rm_error *error)
{
    RM_TRY(check(work, error));
    RM_TRY(count_sequences(work, error));
    RM_TRY(rm_batch_buffer_create(&work->batch, work->microbatch, work->seq_len, error));
    work->losses = calloc((size_t)work->n_microbatches, sizeof *work->losses);
    work->bad_layers = malloc((size_t)work->n_microbatches * sizeof *work->bad_layers);
    if (!work->losses || !work->bad_layers)
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "no memory for the losses of %lld microbatches",
                       (long long)work->n_microbatches);
    for (int64_t m = 0; m < work->n_microbatches; m++) work->bad_layers[m] = INT32_MAX;
    return RINGMOE_OK;
}

/* Collective: all ranks are ready and about to do the same. */
static ringmoe_status prepare_all(evaluation *work, const rm_axis *axis, rm_error *error)
{
    RM_TRY(rm_agree(axis, prepare(work, error), error));
    const int64_t plan[] = {work->seq_len, work->microbatch, work->n_sequences};
    return rm_agree_equal(axis, plan, 3,
                          "seq_len, microbatch and number of sequences to evaluate", error);
}

ringmoe_status ringmoe_model_evaluate(ringmoe_model *model, const ringmoe_tokens *tokens,
                                      int64_t seq_len, int64_t microbatch,
                                      int64_t max_sequences, ringmoe_eval_result *result)
{
    if (!model) return RINGMOE_ERROR_ARGUMENT;
    ringmoe_mesh *mesh = rm_model_mesh(model);
    const rm_axis *axis = &mesh->context->world;
    rm_error *error = &mesh->context->error;
    evaluation work = {.model = model,
                       .stream = tokens,
                       .seq_len = seq_len,
                       .microbatch = microbatch,
                       .max_sequences = max_sequences};
    ringmoe_status status = RINGMOE_OK;
    if (!tokens || !result)
        status = rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                         "an evaluation needs tokens and a place for the result; one is NULL");
    status = rm_agree(axis, status, error);
    if (status == RINGMOE_OK) status = prepare_all(&work, axis, error);
    if (status == RINGMOE_OK) status = evaluate_rounds(&work);
    if (status == RINGMOE_OK) status = gather_losses(&work, axis, error);
    if (status == RINGMOE_OK) status = summarize(&work, result, axis, error);
    free(work.losses);
    free(work.bad_layers);
    rm_batch_buffer_free(&work.batch);
    return status;
}
