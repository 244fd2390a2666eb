/* SPDX-License-Identifier: MIT
 *
 * A run in order: the machine's limits, then a table for each operation and precision, which
 * loops over shapes, numbers of experts and of threads.
 */
#include "gemm.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { FIRST_ROUNDS = 15, LATER_ROUNDS = 3 };

/* What is measured at once: one shape with its experts and all its rows. */
typedef struct gemm_case {
    gemm_shape shape;
    int n_experts;
    int64_t max_rows;
    int n_rows;
    gemm_rows rows[GEMM_MAX_LIST];
    int64_t *offsets; /* of all rows */
} gemm_case;

static bool make_case(const gemm_plan *plan, int shape, int experts, gemm_case *made)
{
    const int64_t *totals = plan->grouped ? plan->tokens : plan->rows;
    *made = (gemm_case){.shape = plan->shapes[shape],
                        .n_experts = plan->grouped ? (int)plan->experts[experts] : 1,
                        .n_rows = plan->grouped ? plan->n_tokens : plan->n_rows};
    made->offsets =
        calloc((size_t)made->n_rows * (size_t)(made->n_experts + 1), sizeof(int64_t));
    if (!made->offsets) return false;
    for (int i = 0; i < made->n_rows; i++) {
        int64_t *offsets = made->offsets + (int64_t)i * (made->n_experts + 1);
        int64_t mean = totals[i] / made->n_experts;
        gemm_zipf_offsets(made->n_experts, totals[i], offsets);
        made->rows[i].offsets = offsets;
        made->rows[i].single_rows = !plan->grouped ? 0 : mean > 0 ? mean : 1;
        if (totals[i] > made->max_rows) made->max_rows = totals[i];
    }
    return true;
}

static int measure_threads(gemm_run *run, const gemm_case *now, gemm_problem *problem)
{
    int status = EXIT_DONE;
    for (int t = 0; !status && t < run->plan.n_threads; t++) {
        problem->n_threads = (int)run->plan.threads[t];
        status = gemm_measure(run, problem, now->rows, now->n_rows);
    }
    return status;
}

static int measure_case(gemm_run *run, const gemm_case *now, gemm_operation operation,
                        ringmoe_precision precision)
{
    gemm_arrays arrays;
    int most_threads = (int)run->plan.threads[run->plan.n_threads - 1];
    int n_sets =
        gemm_count_sets(&run->plan, &now->shape, now->n_experts, precision, most_threads);
    bool is_there = gemm_arrays_open(&arrays, &now->shape, n_sets, now->n_experts,
                                     now->max_rows, operation == GEMM_BACKWARD_WEIGHT);
    gemm_problem problem = {.operation = operation,
                            .precision = precision,
                            .shape = now->shape,
                            .n_experts = now->n_experts,
                            .n_sets = n_sets,
                            .max_rows = now->max_rows,
                            .weights = arrays.weights,
                            .x = arrays.x,
                            .d_y = arrays.d_y,
                            .y = arrays.y,
                            .d_x = arrays.d_x,
                            .d_w = arrays.d_w};
    int status = is_there
                     ? measure_threads(run, now, &problem)
                     : session_fail(run->session, EXIT_FAILED,
                                    "no memory for %lldx%lld: give smaller --shapes",
                                    (long long)now->shape.n_in, (long long)now->shape.n_out);
    gemm_arrays_close(&arrays);
    return status;
}

static int measure_table(gemm_run *run, gemm_operation operation, ringmoe_precision precision)
{
    const gemm_plan *plan = &run->plan;
    int status = EXIT_DONE;
    for (int s = 0; !status && s < plan->n_shapes; s++)
        for (int e = 0; !status && e < (plan->grouped ? plan->n_experts : 1); e++) {
            gemm_case now;
            if (!make_case(plan, s, e, &now))
                return session_fail(run->session, EXIT_FAILED, "no memory");
            status = measure_case(run, &now, operation, precision);
            free(now.offsets);
        }
    return status;
}

static void keep_greater(double *kept, double seen)
{
    if (seen > *kept) *kept = seen;
}

/* The best of all rounds of a run counts, whenever they were. */
static void merge(ringmoe_machine_ceilings *kept, const ringmoe_machine_ceilings *seen)
{
    if (kept->n_levels == 0) *kept = *seen;
    keep_greater(&kept->read_gb_per_s, seen->read_gb_per_s);
    keep_greater(&kept->write_gb_per_s, seen->write_gb_per_s);
    keep_greater(&kept->copy_gb_per_s, seen->copy_gb_per_s);
    keep_greater(&kept->blas_gflops, seen->blas_gflops);
    for (int i = 0; i < kept->n_levels; i++) {
        keep_greater(&kept->levels[i].fp32_gflops, seen->levels[i].fp32_gflops);
        keep_greater(&kept->levels[i].bf16_gflops, seen->levels[i].bf16_gflops);
        keep_greater(&kept->levels[i].q8_gflops, seen->levels[i].q8_gflops);
        keep_greater(&kept->levels[i].q4_gflops, seen->levels[i].q4_gflops);
    }
}

/* With a context of its own for each number of threads. */
static int measure_ceilings(gemm_run *run, int n_rounds)
{
    int status = EXIT_DONE;
    for (int t = 0; !status && t < run->plan.n_threads; t++) {
        tool_session session = *run->session;
        const tool_placement placement = {.threads = run->plan.threads[t]};
        ringmoe_machine_ceilings seen = {.n_threads = 0};
        session.context = NULL;
        progress_show(&run->progress, run->work_done / run->work,
                      "measuring the machine's limits");
        status = session_open(&session, &placement);
        if (!status)
            status = session_check(&session,
                                   ringmoe_machine_measure(session.context, n_rounds, &seen));
        if (!status) merge(&run->ceilings[t], &seen);
        ringmoe_context_destroy(&session.context);
    }
    run->level = run->ceilings[0].peak.level;
    return status;
}

/* The limits are measured again beside each table, since the machine's speed may change. */
static int measure_tables(gemm_run *run, bool is_json)
{
    int status = EXIT_DONE;
    for (int o = 0; !status && o < run->plan.n_operations; o++)
        for (int precision = 0; !status && precision < GEMM_PRECISIONS; precision++) {
            int first = run->n_results;
            if (!run->plan.has_precision[precision]) continue;
            status = measure_table(run, (gemm_operation)run->plan.operations[o],
                                   (ringmoe_precision)precision);
            if (!status) status = measure_ceilings(run, LATER_ROUNDS);
            progress_clear(&run->progress);
            gemm_results_set_roof(run);
            if (!status && !is_json) gemm_print_table(run, first);
        }
    return status;
}

/* Every shape must fit into the free memory before anything is measured. */
static int check_memory(gemm_run *run)
{
    const gemm_plan *plan = &run->plan;
    int most_threads = (int)plan->threads[plan->n_threads - 1];
    double free_bytes = 0.9 * (double)run->machine.memory_free_bytes;
    for (int s = 0; s < plan->n_shapes; s++)
        for (int e = 0; e < (plan->grouped ? plan->n_experts : 1); e++) {
            gemm_case now;
            if (!make_case(plan, s, e, &now)) continue;
            double needed =
                gemm_bytes_needed(plan, &now.shape, now.n_experts, now.max_rows, most_threads);
            free(now.offsets);
            if (free_bytes > 0 && needed > free_bytes)
                return session_fail(run->session, EXIT_FAILED,
                                    "%lldx%lld with %d expert%s takes %s and %s are free: give "
                                    "smaller --shapes%s",
                                    (long long)now.shape.n_in, (long long)now.shape.n_out,
                                    now.n_experts, now.n_experts > 1 ? "s" : "",
                                    text_bytes(needed).text, text_bytes(free_bytes).text,
                                    plan->grouped ? " or fewer --experts" : "");
        }
    return EXIT_DONE;
}

static double planned_work(const gemm_plan *plan)
{
    double work = 0, matrices = 0;
    int n_rows = plan->grouped ? plan->n_tokens * plan->n_experts : plan->n_rows;
    for (int s = 0; s < plan->n_shapes; s++)
        matrices += (double)plan->shapes[s].n_in * (double)plan->shapes[s].n_out;
    for (int i = 0; i < n_rows; i++) {
        int64_t rows = plan->grouped ? plan->tokens[i % plan->n_tokens] : plan->rows[i];
        work += gemm_work(2 * (double)rows * matrices) + (plan->n_shapes - 1) * gemm_work(0);
    }
    int n_precisions = 0;
    for (int i = 0; i < GEMM_PRECISIONS; i++) n_precisions += plan->has_precision[i];
    return work * plan->n_operations * plan->n_threads * n_precisions;
}

int gemm_run_plan(gemm_run *run, bool is_json)
{
    run->started = clock_seconds();
    run->work = planned_work(&run->plan);
    progress_begin(&run->progress, stderr, 0, 1, 0);
    ringmoe_machine_describe(&run->machine);
    int status = check_memory(run);
    if (!status) status = measure_ceilings(run, FIRST_ROUNDS);
    memcpy(run->first_ceilings, run->ceilings, sizeof run->ceilings);
    progress_clear(&run->progress);
    if (!status && !is_json) gemm_print_head(run);
    if (!status) status = measure_tables(run, is_json);
    run->seconds = clock_seconds() - run->started;
    progress_clear(&run->progress);
    if (status) return status;
    if (is_json) return session_print_json(run->session, gemm_to_json(run));
    gemm_print_verdict(run);
    return EXIT_DONE;
}
