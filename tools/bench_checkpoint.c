/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench checkpoint`: saving and loading beside bare loops that write and read as many
 * bytes on the same disk, steps with a save beside them and without, and resident memory. All
 * in turns, since disks and shared machines change their speed within seconds.
 */
#include "bench_checkpoint.h"

#include <stdlib.h>
#include <time.h>

#include "source.h"

enum { MEBIBYTE = 1 << 20 };

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

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* All ranks begin together. */
static double begin(const tool_session *session)
{
    session_largest(session, 0);
    return now_seconds();
}

/* Seconds since then, of the slowest rank. */
static double since(const tool_session *session, double started)
{
    return session_largest(session, now_seconds() - started);
}

static void path_in(const checkpoint_bench *bench, const char *name, char path[CHECKPOINT_PATH])
{
    snprintf(path, CHECKPOINT_PATH, "%.900s/%s", bench->folder, name);
}

/* The most resident since the peak was forgotten, on the rank with most. Once there was a save
 * beside training, its buffer stays for the next one: only what was before it counts. */
static void note_peak(const tool_session *session, const checkpoint_bench *bench, double *peak)
{
    double here = session_largest(session, resident_now("VmHWM:"));
    if (here > *peak && bench->times.beside.count == 0) *peak = here;
}

/* Direct writes are not known everywhere. */
static int write_bare(tool_session *session, checkpoint_bench *bench, bool is_direct)
{
    char name[32], path[CHECKPOINT_PATH];
    snprintf(name, sizeof name, "bare-%d", session->rank);
    path_in(bench, name, path);
    double started = begin(session);
    bool is_written = disk_write(path, (int64_t)bench->total_bytes / session->size, is_direct);
    double seconds = since(session, started);
    bool has_failed = session_union(session, !is_written) != 0;
    remove(path);
    if (!has_failed)
        bench_add(is_direct ? &bench->times.bare_direct : &bench->times.bare_cached, seconds);
    if (!has_failed || is_direct) return EXIT_DONE;
    return session_fail(session, EXIT_FAILED, "%s: cannot write %.0f bytes there: give --dir",
                        bench->folder, bench->total_bytes);
}

static int read_bare(tool_session *session, checkpoint_bench *bench, bool is_cold)
{
    char path[CHECKPOINT_PATH];
    path_in(bench, "saved", path);
    if (is_cold && session->rank == 0) disk_forget(path);
    double started = begin(session);
    bool is_read = disk_read(path, (int64_t)bench->part_bytes,
                             session->size > 1 ? session->rank / (session->size - 1.0) : 0);
    double seconds = since(session, started);
    bench_add(is_cold ? &bench->times.bare_cold : &bench->times.bare_warm, seconds);
    return session_settle(session, is_read ? EXIT_DONE : EXIT_FAILED,
                          "the checkpoint's files cannot be read");
}

static int save(tool_session *session, checkpoint_bench *bench)
{
    char path[CHECKPOINT_PATH];
    path_in(bench, "saved", path);
    resident_forget_peak();
    double started = begin(session);
    ringmoe_status status = ringmoe_trainer_save(bench->trainer, path);
    bench_add(&bench->times.save, since(session, started));
    note_peak(session, bench, &bench->times.save_peak);
    return session_check(session, status);
}

static int load(tool_session *session, checkpoint_bench *bench, bool is_cold)
{
    char path[CHECKPOINT_PATH];
    path_in(bench, "saved", path);
    if (is_cold && session->rank == 0) disk_forget(path);
    resident_forget_peak();
    double started = begin(session);
    ringmoe_status status = ringmoe_trainer_restore(bench->trainer, path);
    bench_add(is_cold ? &bench->times.load_cold : &bench->times.load_warm,
              since(session, started));
    note_peak(session, bench, &bench->times.load_peak);
    return session_check(session, status);
}

static int one_step(tool_session *session, checkpoint_bench *bench, bench_samples *samples)
{
    ringmoe_step_metrics metrics;
    ringmoe_status status = ringmoe_trainer_step(bench->trainer, &metrics);
    bench_add(samples, session_largest(session, metrics.step_ms));
    return session_check(session, status);
}

/* Steps from the start of a save until it is done; *seconds: all of that time. */
static int steps_beside(tool_session *session, checkpoint_bench *bench, int64_t *n,
                        double *seconds)
{
    const ringmoe_save_settings settings = {.buffer_bytes = bench->buffer_bytes};
    ringmoe_save_result result = {0};
    char path[CHECKPOINT_PATH];
    int done = 0;
    path_in(bench, "beside", path);
    resident_forget_peak();
    double started = begin(session);
    int status =
        session_check(session, ringmoe_trainer_save_start(bench->trainer, path, &settings));
    for (*n = 0; !status && !done; ++*n) {
        status = one_step(session, bench, &bench->times.step_beside_ms);
        if (!status)
            status = session_check(
                session, ringmoe_trainer_save_poll(bench->trainer, 0, &done, &result));
    }
    *seconds = since(session, started);
    note_peak(session, bench, &bench->times.beside_peak);
    bench_add(&bench->times.beside, result.seconds);
    bench_add(&bench->times.stalled_ms, 1e3 * result.stalled_seconds);
    return status;
}

/* As many steps with a save and without. */
static int compare_steps(tool_session *session, checkpoint_bench *bench)
{
    int64_t n = 0;
    double with = 0;
    int status = steps_beside(session, bench, &n, &with);
    double started = begin(session);
    for (int64_t i = 0; !status && i < n; i++)
        status = one_step(session, bench, &bench->times.step_ms);
    bench_add(&bench->times.with_beside, with / since(session, started));
    return status;
}

static void remove_saved(const tool_session *session, const checkpoint_bench *bench)
{
    static const char *const names[] = {"saved", "beside"};
    char path[CHECKPOINT_PATH];
    for (int i = 0; i < 2 && session->rank == 0; i++) {
        path_in(bench, names[i], path);
        disk_remove(path);
    }
}

static int one_turn(tool_session *session, checkpoint_bench *bench)
{
    int status = write_bare(session, bench, false);
    if (!status) status = save(session, bench);
    if (!status) status = write_bare(session, bench, true);
    for (int is_cold = 1; is_cold >= 0; is_cold--) {
        if (!status) status = read_bare(session, bench, is_cold);
        if (!status) status = load(session, bench, is_cold);
    }
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
