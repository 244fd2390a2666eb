/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench step`: training steps on the synthetic language. With --against dense the same
 * steps are done by the dense model of the same active size, in turns, since the speed of a
 * shared machine changes within seconds.
 */
#include "bench.h"

#include <math.h>
#include <string.h>

#include "bench_flops.h"
#include "json_text.h"
#include "source.h"
#include "text.h"

typedef struct step_options {
    tool_placement placement;
    const char *model;
    int64_t seq_len, microbatch, global_batch, repeat;
    int against, json;
} step_options;

enum { CEILING_ROUNDS = 15 };

#define ROW(member, ...) OPTION_ROW(step_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "NAME", "tiny, small, base, a config.json or a folder"),
    ROW(seq_len, INTEGER, "seq-len", "N", "tokens of a sequence", .low = 1, .high = 1e9),
    ROW(microbatch, INTEGER, "microbatch", "N", "sequences of a microbatch", .low = 1,
        .high = 1e9),
    ROW(global_batch, INTEGER, "global-batch", "N", "sequences of a step, over all ranks",
        .low = 1, .high = 1e9),
    ROW(repeat, INTEGER, "repeat", "N", "steps to time, after one that is not", .low = 1,
        .high = BENCH_MAX_REPEAT),
    ROW(against, CHOICE, "against", "nothing|dense", "the dense model of the same active size"),
    PLACEMENT_ROWS(step_options),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "ringmoe bench step [options]",
    .summary = "Speed of training steps, where their time goes, the share of the machine's\n"
               "measured peak, and memory against the plan.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

/* One model under test. */
typedef struct bench_subject {
    ringmoe_model_config config;
    ringmoe_trainer *trainer;
    bench_samples step, compute, exchange, wait, optimizer;
    double tokens; /* of a step */
} bench_subject;

/* Everything that is printed. */
typedef struct step_report {
    double median_ms, least_ms, tokens_per_s, best_tokens_per_s;
    double compute_ms, exchange_ms, wait_ms, optimizer_ms;
    double gflops, ceiling_gflops, blas_gflops, read_gb_per_s;
    double resident_before, resident_peak, planned;
    double dense_ms, ratio; /* 0 without --against dense */
} step_report;

static int open_subject(tool_session *session, const step_options *options,
                        const ringmoe_tokens *tokens, bench_subject *subject)
{
    ringmoe_train_settings train;
    ringmoe_train_settings_default(&train);
    train.seq_len = options->seq_len;
    train.microbatch = options->microbatch;
    train.global_batch = options->global_batch;
    return session_check(session, ringmoe_trainer_create(session->mesh, &subject->config,
                                                         &train, tokens, &subject->trainer));
}

static int run_step(tool_session *session, bench_subject *subject, bool is_timed)
{
    ringmoe_step_metrics metrics;
    int status = session_check(session, ringmoe_trainer_step(subject->trainer, &metrics));
    if (status || !is_timed) return status;
    bench_add(&subject->step, metrics.step_ms);
    bench_add(&subject->compute, metrics.compute_ms);
    bench_add(&subject->exchange, metrics.exchange_ms);
    bench_add(&subject->wait, metrics.wait_ms);
    bench_add(&subject->optimizer, metrics.optimizer_ms);
    subject->tokens = (double)metrics.tokens;
    return EXIT_DONE;
}

/* The first step touches fresh memory and is not counted. */
static int run_steps(tool_session *session, const step_options *options, bench_subject *moe,
                     bench_subject *dense)
{
    int status = EXIT_DONE;
    for (int64_t i = -1; !status && i < options->repeat; i++) {
        status = run_step(session, moe, i >= 0);
        if (!status && options->against) status = run_step(session, dense, i >= 0);
    }
    return status;
}

/* The same active size: every layer dense, as wide as the k experts a token passes. */
static ringmoe_model_config dense_twin(const ringmoe_model_config *config)
{
    ringmoe_model_config dense = *config;
    dense.dense_intermediate_size = config->num_experts_per_tok * config->intermediate_size;
    dense.num_local_experts = 0;
    return dense;
}

static int plan_memory(tool_session *session, const step_options *options,
                       const bench_subject *moe, step_report *report)
{
    ringmoe_batch_shape batch = {.seq_len = options->seq_len,
                                 .microbatch = options->microbatch,
                                 .n_microbatches = options->global_batch / options->microbatch};
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(session->mesh);
    ringmoe_memory_plan plan = {0};
    int status = session_check(
        session, ringmoe_model_memory_plan(session->context, &moe->config, &dims,
                                           (ringmoe_precision)options->placement.precision,
                                           &batch, &plan));
    report->planned = (double)plan.total;
    return status;
}

static void fill_report(const tool_session *session, const step_options *options,
                        const bench_subject *moe, const bench_subject *dense,
                        step_report *report)
{
    report->median_ms = bench_median(&moe->step);
    report->least_ms = bench_least(&moe->step);
    report->tokens_per_s = moe->tokens / report->median_ms * 1e3;
    report->best_tokens_per_s = moe->tokens / report->least_ms * 1e3;
    report->compute_ms = bench_median(&moe->compute);
    report->exchange_ms = bench_median(&moe->exchange);
    report->wait_ms = bench_median(&moe->wait);
    report->optimizer_ms = bench_median(&moe->optimizer);
    double flops = moe->tokens * flops_of_token(&moe->config, options->seq_len);
    report->gflops = flops / report->median_ms * 1e-6 / session->size;
    report->dense_ms = bench_median(&dense->step);
    report->ratio = report->dense_ms > 0 ? report->median_ms / report->dense_ms : 0;
}

static void print_text(const step_options *options, const step_report *r)
{
    printf("tokens/s   %.0f median, %.0f best of %lld steps\n", r->tokens_per_s,
           r->best_tokens_per_s, (long long)options->repeat);
    printf(
        "step       %.1f ms median: compute %.1f, exchange %.1f, wait %.1f, optimizer %.1f\n",
        r->median_ms, r->compute_ms, r->exchange_ms, r->wait_ms, r->optimizer_ms);
    printf("speed      %.1f GFLOP/s a rank, %.0f %% of the %s peak measured here (%.0f; "
           "OpenBLAS reaches %.0f in fp32)\n",
           r->gflops, 100 * r->gflops / r->ceiling_gflops,
           options->placement.precision == RINGMOE_PRECISION_BF16 ? "bf16" : "fp32",
           r->ceiling_gflops, r->blas_gflops);
    if (options->against)
        printf("dense      %.1f ms median for the same active size: MoE / dense %.3f "
               "(published bar %.2f)\n",
               r->dense_ms, r->ratio, BENCH_PUBLISHED_RATIO);
    else
        printf("memory     %s peak resident, %s planned: ratio %.3f (%s before the model)\n",
               text_bytes(r->resident_peak).text, text_bytes(r->planned).text,
               r->resident_peak / r->planned, text_bytes(r->resident_before).text);
}

static int print_json(const tool_session *session, const step_options *options,
                      const step_report *r)
{
    json_t *object = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "model", options->model,
        "tokens_per_s", json_number(r->tokens_per_s), "best_tokens_per_s",
        json_number(r->best_tokens_per_s), "step_ms", json_number(r->median_ms), "best_step_ms",
        json_number(r->least_ms), "compute_ms", json_number(r->compute_ms), "exchange_ms",
        json_number(r->exchange_ms), "wait_ms", json_number(r->wait_ms), "optimizer_ms",
        json_number(r->optimizer_ms), "gflops", json_number(r->gflops), "ceiling_gflops",
        json_number(r->ceiling_gflops));
    json_object_set_new(object, "blas_gflops", json_number(r->blas_gflops));
    json_object_set_new(object, "read_gb_per_s", json_number(r->read_gb_per_s));
    if (options->against) {
        json_object_set_new(object, "dense_step_ms", json_number(r->dense_ms));
        json_object_set_new(object, "moe_over_dense", json_number(r->ratio));
    } else {
        json_object_set_new(object, "resident_peak_bytes", json_number(r->resident_peak));
        json_object_set_new(object, "resident_before_bytes", json_number(r->resident_before));
        json_object_set_new(object, "planned_bytes", json_number(r->planned));
    }
    return session_print_json(session, object);
}

static int measure(tool_session *session, const step_options *options, bench_subject *moe,
                   bench_subject *dense, const ringmoe_tokens *tokens, step_report *report)
{
    ringmoe_machine_ceilings ceilings = {0};
    report->resident_before = session_largest(session, bench_peak_resident());
    int status = open_subject(session, options, tokens, moe);
    if (!status && options->against) status = open_subject(session, options, tokens, dense);
    if (!status) status = run_steps(session, options, moe, dense);
    if (!status) status = plan_memory(session, options, moe, report);
    report->resident_peak = session_largest(session, bench_peak_resident());
    if (!status)
        status = session_check(
            session, ringmoe_machine_measure(session->context, CEILING_ROUNDS, &ceilings));
    report->ceiling_gflops = options->placement.precision == RINGMOE_PRECISION_BF16
                                 ? ceilings.peak.bf16_gflops
                                 : ceilings.peak.fp32_gflops;
    report->blas_gflops = ceilings.blas_gflops;
    report->read_gb_per_s = ceilings.read_gb_per_s;
    if (!status) fill_report(session, options, moe, dense, report);
    return status;
}

int bench_step(tool_session *session, int argc, char **argv)
{
    step_options options = {PLACEMENT_DEFAULT,
                            .model = "base",
                            .seq_len = 256,
                            .microbatch = 4,
                            .global_batch = 8,
                            .repeat = 5,
                            .placement.precision = RINGMOE_PRECISION_BF16};
    bench_subject moe = {.tokens = 0}, dense = {.tokens = 0};
    ringmoe_tokens *tokens = NULL;
    step_report report = {0};
    option_result given;
    int status;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    status = session_open(session, &options.placement);
    if (!status) status = source_config(session, options.model, &moe.config);
    dense.config = dense_twin(&moe.config);
    if (!status && options.against && moe.config.num_local_experts == 0)
        status = session_fail(session, EXIT_USAGE, "--against dense: --model %s has no experts",
                              options.model);
    if (!status)
        status = session_layout(session, &options.placement, moe.config.num_local_experts);
    if (!status)
        status =
            session_check(session, ringmoe_tokens_synthetic(session->context, 0,
                                                            SYNTHETIC_TOKENS / 4, &tokens));
    if (!status) status = measure(session, &options, &moe, &dense, tokens, &report);
    if (!status && session->rank == 0 && options.json)
        status = print_json(session, &options, &report);
    else if (!status && session->rank == 0)
        print_text(&options, &report);
    ringmoe_trainer_destroy(&moe.trainer);
    ringmoe_trainer_destroy(&dense.trainer);
    ringmoe_tokens_destroy(&tokens);
    return status;
}
