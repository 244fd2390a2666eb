/* SPDX-License-Identifier: MIT */
#include <math.h>

#include "checkpoint.h"
#include "json_text.h"
#include "text.h"

typedef struct checkpoint_figures {
    double save, bare_cached, bare_direct, bare;         /* bytes a second over all ranks */
    double cold, bare_cold, warm, bare_warm, bare_whole; /* bytes a second of a rank */
    double step_ms, beside_ms;
} checkpoint_figures;

static double rate_of(double bytes, const bench_samples *seconds)
{
    return seconds->count > 0 ? bytes / bench_median(seconds) : 0;
}

static checkpoint_figures work_out(const checkpoint_bench *bench)
{
    const checkpoint_times *t = &bench->times;
    checkpoint_figures f = {
        .save = rate_of(bench->total_bytes, &t->save),
        .bare_cached = rate_of(bench->total_bytes, &t->bare_cached),
        .bare_direct = rate_of(bench->total_bytes, &t->bare_direct),
        .cold = rate_of(bench->part_bytes, &t->load_cold),
        .bare_cold = rate_of(bench->part_bytes, &t->bare_cold),
        .warm = rate_of(bench->part_bytes, &t->load_warm),
        .bare_warm = rate_of(bench->part_bytes, &t->bare_warm),
        .bare_whole = rate_of(bench->part_bytes, &t->bare_whole),
        .step_ms = bench_median(&t->step_ms),
        .beside_ms = bench_median(&t->step_beside_ms),
    };
    f.bare = fmax(f.bare_cached, f.bare_direct);
    return f;
}

void checkpoint_print_text(const tool_session *session, const checkpoint_options *options,
                           const checkpoint_bench *bench)
{
    const checkpoint_times *t = &bench->times;
    checkpoint_figures f = work_out(bench);
    printf("layout      %s\n", session_layout_words(session).text);
    printf("checkpoint  %s, of which a rank needs %s\n", text_bytes(bench->total_bytes).text,
           text_bytes(bench->part_bytes).text);
    printf("save        %.3f GB/s: %.2f of a bare loop (cached %.3f, direct %.3f)\n",
           f.save * 1e-9, f.save / f.bare, f.bare_cached * 1e-9, f.bare_direct * 1e-9);
    printf("load        from the disk %.3f GB/s: %.2f of a plain read (%.3f)\n", f.cold * 1e-9,
           bench_median(&t->cold_over_load), f.bare_cold * 1e-9);
    printf("            from memory %.3f GB/s: %.2f of a plain read (%.3f) into one block,\n"
           "            %.2f of one (%.3f) into as much memory\n",
           f.warm * 1e-9, bench_median(&t->warm_over_load), f.bare_warm * 1e-9,
           bench_median(&t->whole_over_load), f.bare_whole * 1e-9);
    printf("beside      steps of %.1f ms with a save beside them, %.1f without: %+.1f %%\n",
           f.beside_ms, f.step_ms, 100 * (bench_median(&t->beside_over_step) - 1));
    printf(
        "            it takes %.2f s and stands in the way for %.1f ms (the first %.1f, after "
        "its\n"
        "            buffer was made in %.1f): all in all %+.1f %%\n"
        "            steps before and after it differ by %.1f %%\n",
        bench_median(&t->beside), bench_median(&t->stalled_ms), t->stalled_ms.values[0],
        t->reserve_ms, 100 * (bench_median(&t->with_beside) - 1),
        100 * (bench_median(&t->unrest) - 1));
    if (t->save_peak > 0)
        printf("memory      of the training's %s at most %.2f in a save, %.2f in a load\n"
               "            %.2f in a save beside training, with a buffer of %s\n",
               text_bytes(t->resident).text, t->save_peak / t->resident,
               t->load_peak / t->resident, t->beside_peak / t->resident,
               text_bytes((double)bench->buffer_bytes).text);
}

int checkpoint_print_json(const tool_session *session, const checkpoint_options *options,
                          const checkpoint_bench *bench)
{
    const checkpoint_times *t = &bench->times;
    checkpoint_figures f = work_out(bench);
    const struct {
        const char *name;
        double value;
    } figures[] = {
        {"checkpoint_bytes", bench->total_bytes},
        {"part_bytes", bench->part_bytes},
        {"save_bytes_per_s", f.save},
        {"bare_cached_bytes_per_s", f.bare_cached},
        {"bare_direct_bytes_per_s", f.bare_direct},
        {"save_over_bare", f.save / f.bare},
        {"load_cold_bytes_per_s", f.cold},
        {"read_cold_bytes_per_s", f.bare_cold},
        {"load_cold_over_read", bench_median(&t->cold_over_load)},
        {"load_warm_bytes_per_s", f.warm},
        {"read_warm_bytes_per_s", f.bare_warm},
        {"load_warm_over_read", bench_median(&t->warm_over_load)},
        {"read_whole_bytes_per_s", f.bare_whole},
        {"load_warm_over_whole_read", bench_median(&t->whole_over_load)},
        {"step_ms", f.step_ms},
        {"step_beside_ms", f.beside_ms},
        {"beside_over_step", bench_median(&t->beside_over_step)},
        {"save_beside_s", bench_median(&t->beside)},
        {"stalled_ms", bench_median(&t->stalled_ms)},
        {"first_stalled_ms", t->stalled_ms.values[0]},
        {"reserve_ms", t->reserve_ms},
        {"step_unrest", bench_median(&t->unrest) - 1},
        {"with_stalls_over_step", bench_median(&t->with_beside)},
        {"resident_bytes", t->resident},
        {"buffer_bytes", (double)bench->buffer_bytes},
        {"save_resident_ratio", t->save_peak / t->resident},
        {"load_resident_ratio", t->load_peak / t->resident},
        {"beside_resident_ratio", t->beside_peak / t->resident},
    };
    json_t *object = json_pack("{s:s, s:i}", "model", options->model, "ranks", session->size);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        json_object_set_new(object, figures[i].name, json_number(figures[i].value));
    return session_print_json(session, object);
}
