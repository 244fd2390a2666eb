/* SPDX-License-Identifier: MIT */
#include "flops.h"
#include "step.h"
#include "json_text.h"
#include "text.h"

/* The figures that are worked out from the samples. */
typedef struct step_figures {
    double step_ms, least_ms, gflops, peak_gflops, other_ms, ratio;
} step_figures;

static step_figures work_out(const tool_session *session, const step_options *options,
                             const bench_subject *subjects, const step_machine *machine)
{
    const bench_subject *subject = &subjects[0], *other = &subjects[1];
    bool is_bf16 = options->placement.precision == RINGMOE_PRECISION_BF16;
    double flops = subject->tokens * flops_of_token(&subject->config, options->train.seq_len);
    step_figures f = {.step_ms = bench_median(&subject->step),
                      .least_ms = bench_least(&subject->step),
                      .other_ms = bench_median(&other->step)};
    f.gflops = flops / f.step_ms * 1e-6 / session->size;
    f.peak_gflops =
        is_bf16 ? machine->ceilings.peak.bf16_gflops : machine->ceilings.peak.fp32_gflops;
    f.ratio = f.other_ms > 0 ? f.step_ms / f.other_ms : 0;
    return f;
}

/* A line for each way of --shadow, with the load it had to do with. */
static void print_shadows(const bench_subject *subjects)
{
    for (int i = 0; i < MOST_SUBJECTS; i++)
        printf("%-10s %.1f ms median, %.1f best with --shadow %s: %.3f of these steps, %.0f "
               "experts copied\n",
               i == 0 ? "shadow" : "", bench_median(&subjects[i].step),
               bench_least(&subjects[i].step), shadow_name(subjects[i].train.shadow),
               bench_median(&subjects[i].step) / bench_median(&subjects[0].step),
               bench_median(&subjects[i].shadows));
}

/* What the steps were compared with. */
static void print_against(const step_options *options, const bench_subject *subjects,
                          const step_figures *f)
{
    switch ((step_against)options->against) {
    case AGAINST_NOTHING:
        return;
    case AGAINST_DENSE:
        printf("dense      %.1f ms median for the same active size: MoE / dense %.3f "
               "(published bar %.2f)\n",
               f->other_ms, f->ratio, BENCH_PUBLISHED_RATIO);
        return;
    case AGAINST_NO_OVERLAP:
        printf("no overlap %.1f ms median: with overlap / without %.3f\n", f->other_ms,
               f->ratio);
        return;
    case AGAINST_REPRODUCIBLE:
        printf("bits       %.1f ms median with --reproducible, which costs %.1f %%\n",
               f->other_ms, 100 * (1 / f->ratio - 1));
        return;
    case AGAINST_ONE_RANK:
        printf("one rank   %.1f ms median with all %d threads: these ranks make %.3f of its "
               "tokens/s\n",
               f->other_ms, ringmoe_context_threads(subjects[1].context), 1 / f->ratio);
        return;
    case AGAINST_SHADOW:
        print_shadows(subjects);
        return;
    }
}

/* How evenly the experts were loaded while the steps were timed. */
static void print_load(const step_options *options, const bench_subject *subject)
{
    static const char *const words[] = {"even: weights held still, biases moved",
                                        "skewed: weights held still",
                                        "untrained: first steps of a training"};
    if (subject->config.num_local_experts == 0) return;
    printf("load       %.2f max/mean over experts, %.2f in the worst layer (%s)\n",
           bench_median(&subject->load), bench_median(&subject->worst_load),
           words[options->load]);
}

/* What a rank keeps of the moments, of what one rank alone would: ZeRO-1. */
static void print_memory(const tool_session *session, const step_options *options,
                         const bench_subject *subject, const step_machine *machine)
{
    double planned = (double)machine->plan.total;
    if (session->size > 1)
        printf("optimizer  %s a rank planned, %s held; %s on one rank\n",
               text_bytes((double)machine->plan.optimizer).text,
               text_bytes((double)ringmoe_trainer_optimizer_bytes(subject->trainer)).text,
               text_bytes((double)machine->plan_one_rank.optimizer).text);
    if (options->against == AGAINST_NOTHING)
        printf("memory     %s peak resident, %s planned: ratio %.3f (%s before the model)\n",
               text_bytes(machine->resident_peak).text, text_bytes(planned).text,
               machine->resident_peak / planned, text_bytes(machine->resident_before).text);
}

void step_print_text(const tool_session *session, const step_options *options,
                     const bench_subject *subjects, const step_machine *machine)
{
    const bench_subject *subject = &subjects[0];
    step_figures f = work_out(session, options, subjects, machine);
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(session->mesh);
    placement_text words = execution_words(&dims, &subject->train);
    printf("layout     %s%s%s\n", session_layout_words(session).text, words.text[0] ? ", " : "",
           words.text);
    print_load(options, subject);
    printf("tokens/s   %.0f median, %.0f best of %lld steps\n",
           subject->tokens / f.step_ms * 1e3, subject->tokens / f.least_ms * 1e3,
           (long long)options->repeat);
    printf("step       %.1f ms median: compute %.1f, exchange %.1f, wait %.1f, ", f.step_ms,
           bench_median(&subject->compute), bench_median(&subject->exchange),
           bench_median(&subject->wait));
    if (dims.pipeline > 1) printf("pipeline %.1f, ", bench_median(&subject->pipeline_wait));
    printf("optimizer %.1f\n", bench_median(&subject->optimizer));
    printf("speed      %.1f GFLOP/s a rank, %.0f %% of the %s peak measured here (%.0f; "
           "OpenBLAS reaches %.0f in fp32)\n",
           f.gflops, 100 * f.gflops / f.peak_gflops,
           options->placement.precision == RINGMOE_PRECISION_BF16 ? "bf16" : "fp32",
           f.peak_gflops, machine->ceilings.blas_gflops);
    print_against(options, subjects, &f);
    print_memory(session, options, subject, machine);
}

static void add_layout(const tool_session *session, const bench_subject *subject,
                       json_t *object)
{
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(session->mesh);
    json_t *layout =
        json_pack("{s:i, s:i, s:i, s:i, s:i, s:s, s:I, s:s, s:b}", "pp", dims.pipeline, "dp",
                  dims.data, "ep", dims.expert, "tp", dims.tensor, "threads",
                  ringmoe_context_threads(session->context), "schedule",
                  subject->train.schedule, "chunks", (json_int_t)subject->train.chunks,
                  "recompute", recompute_name(subject->train.recompute), "reproducible",
                  subject->train.reproducible != 0);
    json_object_set_new(object, "layout", layout);
}

static void add_shadows(const bench_subject *subjects, json_t *object)
{
    json_t *ways = json_object();
    for (int i = 0; i < MOST_SUBJECTS; i++) {
        json_t *way = json_pack("{s:f, s:f, s:f}", "step_ms", bench_median(&subjects[i].step),
                                "best_step_ms", bench_least(&subjects[i].step),
                                "copied_experts", bench_median(&subjects[i].shadows));
        json_object_set_new(ways, shadow_name(subjects[i].train.shadow), way);
    }
    json_object_set_new(object, "shadow", ways);
}

static void add_load(const step_options *options, const bench_subject *subject, json_t *object)
{
    static const char *const names[] = {"even", "skewed", "untrained"};
    if (subject->config.num_local_experts == 0) return;
    json_object_set_new(object, "load", json_string(names[options->load]));
    json_object_set_new(object, "load_max_over_mean",
                        json_number(bench_median(&subject->load)));
    json_object_set_new(object, "worst_load_max_over_mean",
                        json_number(bench_median(&subject->worst_load)));
}

/* The comparison, or without one the memory, which is then the one model's alone. */
static void add_against(const step_options *options, const bench_subject *subjects,
                        const step_figures *f, const step_machine *machine, json_t *object)
{
    static const char *const names[] = {"",         "dense", "no_overlap", "reproducible",
                                        "one_rank", "shadow"};
    if (options->against == AGAINST_NOTHING) {
        json_object_set_new(object, "resident_peak_bytes", json_number(machine->resident_peak));
        json_object_set_new(object, "resident_before_bytes",
                            json_number(machine->resident_before));
        json_object_set_new(object, "planned_bytes", json_number((double)machine->plan.total));
        return;
    }
    json_object_set_new(object, "against", json_string(names[options->against]));
    json_object_set_new(object, "against_step_ms", json_number(f->other_ms));
    json_object_set_new(object, "over_against", json_number(f->ratio));
    if (options->against == AGAINST_SHADOW) add_shadows(subjects, object);
    if (options->against != AGAINST_DENSE) return;
    json_object_set_new(object, "dense_step_ms", json_number(f->other_ms));
    json_object_set_new(object, "moe_over_dense", json_number(f->ratio));
}

int step_print_json(const tool_session *session, const step_options *options,
                    const bench_subject *subjects, const step_machine *machine)
{
    const bench_subject *subject = &subjects[0];
    step_figures f = work_out(session, options, subjects, machine);
    const struct {
        const char *name;
        double value;
    } figures[] = {
        {"tokens_per_s", subject->tokens / f.step_ms * 1e3},
        {"best_tokens_per_s", subject->tokens / f.least_ms * 1e3},
        {"step_ms", f.step_ms},
        {"best_step_ms", f.least_ms},
        {"compute_ms", bench_median(&subject->compute)},
        {"exchange_ms", bench_median(&subject->exchange)},
        {"wait_ms", bench_median(&subject->wait)},
        {"pipeline_wait_ms", bench_median(&subject->pipeline_wait)},
        {"optimizer_ms", bench_median(&subject->optimizer)},
        {"gflops", f.gflops},
        {"ceiling_gflops", f.peak_gflops},
        {"blas_gflops", machine->ceilings.blas_gflops},
        {"read_gb_per_s", machine->ceilings.read_gb_per_s},
        {"optimizer_bytes", (double)ringmoe_trainer_optimizer_bytes(subject->trainer)},
        {"optimizer_planned_bytes", (double)machine->plan.optimizer},
        {"optimizer_one_rank_bytes", (double)machine->plan_one_rank.optimizer},
    };
    json_t *object = json_pack("{s:s}", "model", options->model);
    add_layout(session, subject, object);
    for (size_t i = 0; i < sizeof figures / sizeof figures[0]; i++)
        json_object_set_new(object, figures[i].name, json_number(figures[i].value));
    add_load(options, subject, object);
    add_against(options, subjects, &f, machine, object);
    return session_print_json(session, object);
}
