/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench checkpoint`: saving and loading beside bare loops that write and read as many
 * bytes on the same disk, steps with a save beside them and without, and resident memory. All
 * in turns, since disks and shared machines change their speed within seconds.
 */
#include "checkpoint.h"

#include <math.h>
#include <stdlib.h>

#include "source.h"

/* Steps without a save before those with one, and again after them; reads of each kind. */
enum { MEBIBYTE = 1 << 20, PLAIN_STEPS = 2, READS = 3 };

#define ROW(member, ...) OPTION_ROW(checkpoint_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "NAME", "tiny, small, base, a config.json or a folder"),
    ROW(folder, TEXT, "dir", "FOLDER", "on the disk that is meant; all ranks see it"),
    ROW(buffer_mib, INTEGER, "buffer", "MIB", "of a rank, for saves beside training",
        .high = 1 << 24, .otherwise = "half of what it has resident"),
    ROW(train.seq_len, INTEGER, "seq-len", "N", "tokens of a sequence", .low = 1, .high = 1e9),
    ROW(train.microbatch, INTEGER, "microbatch", "N", "sequences of a microbatch", .low = 1,
        .high = 1e9),
    ROW(train.global_batch, INTEGER, "global-batch", "N", "sequences of a step, over all ranks",
        .low = 1, .high = 1e9),
    ROW(repeat, INTEGER, "repeat", "N", "turns", .low = 1, .high = BENCH_MAX_REPEAT),
    PLACEMENT_ROWS(checkpoint_options),
    EXECUTION_ROWS(checkpoint_options),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "ringmoe bench checkpoint [options]",
    .summary =
        "Saving a checkpoint beside a bare loop that writes as many bytes to the same disk "
        "and\n"
        "makes them durable (the better of cached and direct writes); loading beside a plain\n"
        "read of this rank's part, from the disk and from memory; steps with a save running\n"
        "beside them and without; resident memory against that of training. Medians of turns.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

/* Direct writes are not known everywhere. */
static int write_bare(tool_session *session, checkpoint_bench *bench, bool is_direct)
{
    char name[32], path[CHECKPOINT_PATH];
    snprintf(name, sizeof name, "bare-%d", session->rank);
    checkpoint_path(bench, name, path);
    double started = checkpoint_begin(session);
    bool is_written = disk_write(path, (int64_t)bench->total_bytes / session->size, is_direct);
    double seconds = checkpoint_since(session, started);
    bool has_failed = session_union(session, !is_written) != 0;
    remove(path);
    if (!has_failed)
        bench_add(is_direct ? &bench->times.bare_direct : &bench->times.bare_cached, seconds);
    if (!has_failed || is_direct) return EXIT_DONE;
    return session_fail(session, EXIT_FAILED, "%s: cannot write %.0f bytes there: give --dir",
                        bench->folder, bench->total_bytes);
}

static int save(tool_session *session, checkpoint_bench *bench)
{
    char path[CHECKPOINT_PATH];
    checkpoint_path(bench, "saved", path);
    resident_forget_peak();
    double started = checkpoint_begin(session);
    ringmoe_status status = ringmoe_trainer_save(bench->trainer, path);
    bench_add(&bench->times.save, checkpoint_since(session, started));
    checkpoint_note_peak(session, bench, &bench->times.save_peak);
    return session_check(session, status);
}

/* *ms: the sum of those before and of this step. */
static int one_step(tool_session *session, checkpoint_bench *bench, bench_samples *samples,
                    double *ms)
{
    ringmoe_step_metrics metrics;
    ringmoe_status status = ringmoe_trainer_step(bench->trainer, &metrics);
    double slowest = session_largest(session, metrics.step_ms);
    bench_add(samples, slowest);
    *ms += slowest;
    return session_check(session, status);
}

/* Steps from the start of a save until it is done, *n of *ms together; *seconds: all of that
 * time. */
static int steps_beside(tool_session *session, checkpoint_bench *bench, int64_t *n, double *ms,
                        double *seconds)
{
    const ringmoe_save_settings settings = {.buffer_bytes = bench->buffer_bytes};
    ringmoe_save_result result = {0};
    char path[CHECKPOINT_PATH];
    int done = 0;
    checkpoint_path(bench, "beside", path);
    resident_forget_peak();
    double started = checkpoint_begin(session);
    int status =
        session_check(session, ringmoe_trainer_save_start(bench->trainer, path, &settings));
    for (*n = 0; !status && !done; ++*n) {
        status = one_step(session, bench, &bench->times.step_beside_ms, ms);
        if (!status)
            status = session_check(
                session, ringmoe_trainer_save_poll(bench->trainer, 0, &done, &result));
    }
    *seconds = checkpoint_since(session, started);
    checkpoint_note_peak(session, bench, &bench->times.beside_peak);
    bench_add(&bench->times.beside, result.seconds);
    bench_add(&bench->times.stalled_ms, 1e3 * result.stalled_seconds);
    return status;
}

static int steps_plain(tool_session *session, checkpoint_bench *bench, double *ms)
{
    int status = EXIT_DONE;
    for (int i = 0; !status && i < PLAIN_STEPS; i++)
        status = one_step(session, bench, &bench->times.step_ms, ms);
    return status;
}

/* As training does it after its first step. */
static int reserve(tool_session *session, checkpoint_bench *bench)
{
    const ringmoe_save_settings settings = {.buffer_bytes = bench->buffer_bytes};
    double started = checkpoint_begin(session);
    ringmoe_status status = ringmoe_trainer_save_reserve(bench->trainer, &settings);
    bench->times.reserve_ms = 1e3 * checkpoint_since(session, started);
    return session_check(session, status);
}

/* Steps with a save beside them, between steps without: a machine that grows slower or faster
 * meanwhile favours neither. */
static int compare_steps(tool_session *session, checkpoint_bench *bench)
{
    int64_t n = 0;
    double before = 0, after = 0, beside = 0, seconds = 0;
    int status = bench->times.beside.count == 0 ? reserve(session, bench) : EXIT_DONE;
    if (!status) status = steps_plain(session, bench, &before);
    if (!status) status = steps_beside(session, bench, &n, &beside, &seconds);
    if (!status) status = steps_plain(session, bench, &after);
    double of_one = (before + after) / (2 * PLAIN_STEPS), steps = (double)n;
    bench_add(&bench->times.unrest, fmax(before, after) / fmin(before, after));
    bench_add(&bench->times.beside_over_step, beside / steps / of_one);
    bench_add(&bench->times.with_beside, 1e3 * seconds / steps / of_one);
    return status;
}

static void remove_saved(const tool_session *session, const checkpoint_bench *bench)
{
    static const char *const names[] = {"saved", "beside"};
    char path[CHECKPOINT_PATH];
    for (int i = 0; i < 2 && session->rank == 0; i++) {
        checkpoint_path(bench, names[i], path);
        disk_remove(path);
    }
}

static int one_turn(tool_session *session, checkpoint_bench *bench)
{
    int status = write_bare(session, bench, false);
    if (!status) status = save(session, bench);
    if (!status) status = write_bare(session, bench, true);
    if (!status) status = checkpoint_compare_cold(session, bench);
    for (int i = 0; !status && i < READS; i++) status = checkpoint_compare_warm(session, bench);
    if (!status) status = compare_steps(session, bench);
    remove_saved(session, bench);
    return status;
}

/* What this rank has to read: its weights, and its share of the moments. */
static int plan_part(tool_session *session, const checkpoint_options *options,
                     const ringmoe_model_config *config, checkpoint_bench *bench)
{
    ringmoe_batch_shape batch = execution_batch(&options->train);
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(session->mesh);
    ringmoe_memory_plan plan;
    int status = session_check(
        session, ringmoe_model_memory_plan(session->context, config, &dims,
                                           (ringmoe_precision)options->placement.precision,
                                           &batch, &plan));
    bench->total_bytes = (double)ringmoe_trainer_checkpoint_bytes(bench->trainer);
    bench->part_bytes =
        (double)(plan.parameters + ringmoe_trainer_optimizer_bytes(bench->trainer));
    if (bench->part_bytes > bench->total_bytes) bench->part_bytes = bench->total_bytes;
    return status;
}

/* A folder of this run's own. */
static int open_folder(tool_session *session, const checkpoint_options *options,
                       checkpoint_bench *bench)
{
    if (session->rank == 0) {
        snprintf(bench->folder, sizeof bench->folder, "%.900s/ringmoe-bench-XXXXXX",
                 options->folder);
        if (!mkdtemp(bench->folder)) bench->folder[0] = '\0';
    }
    session_share(session, bench->folder, sizeof bench->folder);
    if (bench->folder[0]) return EXIT_DONE;
    return session_fail(session, EXIT_FAILED, "%.900s: cannot make a folder there: give --dir",
                        options->folder);
}

/* The first step touches fresh memory; what is resident after it is the training's. */
static int measure(tool_session *session, const checkpoint_options *options,
                   const ringmoe_model_config *config, checkpoint_bench *bench)
{
    int status = plan_part(session, options, config, bench);
    if (!status) status = open_folder(session, options, bench);
    if (!status) status = session_check(session, ringmoe_trainer_step(bench->trainer, NULL));
    bench->times.resident = session_largest(session, resident_now("VmRSS:"));
    bench->buffer_bytes = options->buffer_mib ? options->buffer_mib * MEBIBYTE
                                              : (int64_t)(bench->times.resident / 2);
    for (int64_t turn = 0; !status && turn < options->repeat; turn++)
        status = one_turn(session, bench);
    if (session->rank == 0 && bench->folder[0]) disk_remove(bench->folder);
    return status;
}

static int open_bench(tool_session *session, checkpoint_options *options,
                      ringmoe_model_config *config, ringmoe_tokens **tokens,
                      checkpoint_bench *bench)
{
    int status = session_execution(session, &options->execution, &options->train);
    if (!status) status = session_open(session, &options->placement);
    if (!status) status = source_config(session, options->model, config);
    if (!status)
        status = session_layout(session, &options->placement, config->num_local_experts);
    if (!status)
        status = session_check(session, ringmoe_tokens_synthetic(session->context, 0,
                                                                 SYNTHETIC_TOKENS / 4, tokens));
    if (status) return status;
    return session_check(session, ringmoe_trainer_create(session->mesh, config, &options->train,
                                                         *tokens, &bench->trainer));
}

int bench_checkpoint(tool_session *session, int argc, char **argv)
{
    checkpoint_options options = {PLACEMENT_DEFAULT, .model = "base", .folder = ".",
                                  .repeat = 3, .placement.precision = RINGMOE_PRECISION_BF16};
    checkpoint_bench *bench = calloc(1, sizeof *bench);
    ringmoe_model_config config;
    ringmoe_tokens *tokens = NULL;
    option_result given;
    int status;
    ringmoe_train_settings_default(&options.train);
    options.train.global_batch = 8;
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) {
        free(bench);
        return status;
    }
    status = session_settle(session, bench ? EXIT_DONE : EXIT_FAILED, "no memory for samples");
    if (!status) status = open_bench(session, &options, &config, &tokens, bench);
    if (!status) status = measure(session, &options, &config, bench);
    if (!status && session->rank == 0 && options.json)
        status = checkpoint_print_json(session, &options, bench);
    else if (!status && session->rank == 0)
        checkpoint_print_text(session, &options, bench);
    if (bench) ringmoe_trainer_destroy(&bench->trainer);
    ringmoe_tokens_destroy(&tokens);
    free(bench);
    return status;
}
