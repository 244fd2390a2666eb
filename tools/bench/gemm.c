/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench gemm`: the options, and the plan they make.
 */
#include "gemm.h"

#include <stdlib.h>
#include <string.h>

typedef struct gemm_options {
    const char *shapes, *rows, *ops, *experts, *tokens, *threads;
    int64_t repeat;
    int precision, grouped, warm, quick, json;
} gemm_options;

enum { PRECISION_BOTH = GEMM_PRECISIONS, MOST_TURNS = 99 };

#define ROW(member, ...) OPTION_ROW(gemm_options, member, __VA_ARGS__)

static const option_row option_rows[] = {
    ROW(shapes, TEXT, "shapes", "INxOUT,..", "features of the weights",
        .otherwise = "512x1408 to 4096x14336"),
    ROW(rows, TEXT, "rows", "N,..", "rows that are multiplied"),
    ROW(ops, TEXT, "ops", "NAME,..", "forward, backward-input, backward-weight",
        .otherwise = "all"),
    ROW(grouped, FLAG, "grouped", NULL, "all experts of a layer in one call, with uneven rows"),
    ROW(experts, TEXT, "experts", "N,..", "experts of --grouped"),
    ROW(tokens, TEXT, "tokens", "N,..", "rows of all experts of --grouped"),
    ROW(precision, CHOICE, "precision", "fp32|bf16|q8|q4|both", "operands of the products"),
    ROW(threads, TEXT, "threads", "N[,N]", "one or two numbers, side by side",
        .otherwise = "1 and all cpus"),
    ROW(repeat, INTEGER, "repeat", "N", "turns of each contender at most", .low = 2,
        .high = MOST_TURNS),
    ROW(warm, FLAG, "warm", NULL, "the same weights in every call, not from memory"),
    ROW(quick, FLAG, "quick", NULL, "one shape and few rows, some ten seconds"),
    ROW(json, FLAG, "json", NULL, "the result as JSON"),
};

static const option_set set = {
    .usage = "ringmoe bench gemm [options]",
    .summary =
        "Speed of the experts' matrix products beside OpenBLAS and, where the build has it,\n"
        "oneDNN, and their share of what the machine allows, which is measured too. Takes "
        "three\n"
        "to four minutes.",
    .rows = option_rows,
    .count = sizeof option_rows / sizeof option_rows[0],
};

static bool is_quantised(const gemm_options *options)
{
    return options->precision != PRECISION_BOTH &&
           gemm_is_quantised((ringmoe_precision)options->precision);
}

static void choose_defaults(gemm_options *options, const option_result *given)
{
    bool has_shapes = options_given(&set, given, "shapes");
    bool has_rows = options_given(&set, given, "rows");
    if (!has_shapes && options->quick)
        options->shapes = "1024x2816";
    else if (!has_shapes && options->grouped)
        options->shapes = "512x1408,1024x2816,2048x1408";
    if (!has_rows && options->quick) options->rows = "1,16,64,256";
    if (!options_given(&set, given, "tokens") && options->quick) options->tokens = "1024";
    if (!options_given(&set, given, "ops") && is_quantised(options)) options->ops = "forward";
}

/* Options that would go unheard; false with a line in `error`. */
static bool check_given(const gemm_options *options, const option_result *given,
                        char error[256])
{
    static const char *const grouped_only[] = {"experts", "tokens"};
    for (int i = 0; i < 2 && !options->grouped; i++)
        if (options_given(&set, given, grouped_only[i])) {
            snprintf(error, 256, "--%s is for --grouped: give that too", grouped_only[i]);
            return false;
        }
    if (is_quantised(options) && strcmp(options->ops, "forward") != 0) {
        snprintf(error, 256, "--precision %s has forward products alone: give --ops forward",
                 gemm_precision_name(options->precision));
        return false;
    }
    if (!options->grouped || !options_given(&set, given, "rows")) return true;
    snprintf(error, 256, "--rows is not for --grouped: give --tokens, the rows of all experts");
    return false;
}

static bool is_ascending(const gemm_plan *plan)
{
    return plan->n_threads == 1 ||
           (plan->n_threads == 2 && plan->threads[0] < plan->threads[1]);
}

/* Reads the lists; on failure a line in `error`. */
static bool make_plan(const gemm_options *options, gemm_plan *plan, char error[256])
{
    *plan = (gemm_plan){
        .repeat = options->repeat, .grouped = options->grouped, .warm = options->warm};
    for (int i = 0; i < GEMM_PRECISIONS; i++)
        plan->has_precision[i] = options->precision == PRECISION_BOTH
                                     ? i <= RINGMOE_PRECISION_BF16
                                     : options->precision == i;
    if (!gemm_list_shapes(options->shapes, plan->shapes, &plan->n_shapes, error) ||
        !gemm_list_operations(options->ops, plan->operations, &plan->n_operations, error) ||
        !gemm_list_integers("rows", options->rows, GEMM_MAX_SIZE, plan->rows, &plan->n_rows,
                            error) ||
        !gemm_list_integers("experts", options->experts, GEMM_MAX_EXPERTS, plan->experts,
                            &plan->n_experts, error) ||
        !gemm_list_integers("tokens", options->tokens, GEMM_MAX_SIZE, plan->tokens,
                            &plan->n_tokens, error) ||
        !gemm_list_integers("threads", options->threads, 4096, plan->threads, &plan->n_threads,
                            error))
        return false;
    if (!is_ascending(plan))
        snprintf(error, 256, "--threads %.80s: give one number or two, the smaller first",
                 options->threads);
    return is_ascending(plan);
}

int bench_gemm(tool_session *session, int argc, char **argv)
{
    char all_threads[32], error[256];
    int n_threads = session_default_threads(session), status;
    snprintf(all_threads, sizeof all_threads, n_threads > 1 ? "1,%d" : "%d", n_threads);
    gemm_options options = {.shapes = "512x1408,1024x2816,2048x1408,4096x14336",
                            .rows = "1,4,16,61,64,189,256,1024",
                            .ops = "forward,backward-input,backward-weight",
                            .experts = "8,64",
                            .tokens = "1024,4096",
                            .threads = all_threads,
                            .precision = PRECISION_BOTH,
                            .repeat = 9};
    option_result given;
    gemm_run run = {.session = session, .level = ""};
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    if (session->size > 1)
        return session_fail(session, EXIT_USAGE,
                            "measures one process, and there are %d: start it without mpiexec "
                            "or srun, or with -n 1",
                            session->size);
    choose_defaults(&options, &given);
    if (!check_given(&options, &given, error) || !make_plan(&options, &run.plan, error))
        return session_fail(session, EXIT_USAGE, "%s", error);
    status = gemm_run_plan(&run, options.json);
    free(run.results);
    return status;
}
