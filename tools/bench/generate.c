/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench generate`: loading; then, in turns, reading a prompt, one text and several
 * texts together, beside the memory's speed, which weights cannot be read faster than.
 */
#include "generate.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of a turn, spread over about as long as generation takes. */
enum { CEILING_ROUNDS = 5 };

#define ROW(member, ...) OPTION_ROW(generate_bench_options, member, __VA_ARGS__)

static const option_row rows[] = {
    ROW(model, TEXT, "model", "PATH", "a run, a checkpoint, a Hugging Face folder, a .gguf"),
    ROW(weights, CHOICE, "weights", WEIGHTS_WORDS, "how they are kept in memory",
        .otherwise = "as --precision if given, else auto"),
    ROW(n_prompt, INTEGER, "prompt-tokens", "N", "of the prompt that is read", .low = 1,
        .high = 1e6),
    ROW(n_new, INTEGER, "new-tokens", "N", "made after a prompt of one token", .low = 2,
        .high = 1e6),
    ROW(n_texts, INTEGER, "texts", "N", "made together", .low = 1, .high = 4096),
    ROW(repeat, INTEGER, "repeat", "N", "turns", .low = 1, .high = BENCH_MAX_REPEAT),
    ROW(llama_bench, TEXT, "llama-bench", "PROGRAM",
        "llama.cpp's, whose turns come between ours; --model is a .gguf then",
        .otherwise = "none"),
    PLACEMENT_ROWS(generate_bench_options),
    ROW(json, FLAG, "json", NULL, "the figures as JSON"),
};

static const option_set set = {
    .usage = "ringmoe bench generate --model PATH [options]",
    .summary =
        "Loading and generation: medians over turns in which everything is measured once, the\n"
        "reading of the files and the memory's speed too. A pass reads the weights that every\n"
        "token needs, each expert that a token has chosen, keys and values. What it reads a\n"
        "second is compared with the memory's speed, means of a turn both.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

/* n_texts prompts of n_prompt tokens, each followed by n_new. */
static ringmoe_status generate(generate_bench *bench, int n_texts, int64_t n_prompt,
                               int64_t n_new, ringmoe_generate_figures *figures)
{
    ringmoe_generate_settings settings;
    ringmoe_generate_settings_default(&settings);
    settings.max_new_tokens = n_new;
    settings.temperature = 0;
    for (int i = 0; i < n_texts; i++)
        bench->prompts[i] = (ringmoe_prompt){.tokens = bench->tokens + i, .n_tokens = n_prompt};
    return ringmoe_generate(bench->model, bench->prompts, n_texts, &settings, NULL, NULL, NULL,
                            figures);
}

static double rate(int64_t n, double seconds)
{
    return seconds > 0 ? (double)n / seconds : 0;
}

/* So many texts from prompts of one token. */
static ringmoe_status time_passes(generate_bench *bench, int64_t n_texts, pass_rates *rates)
{
    ringmoe_generate_figures figures;
    ringmoe_status status = generate(bench, (int)n_texts, 1, bench->options->n_new, &figures);
    if (status != RINGMOE_OK) return status;
    bench_add(&rates->tokens, rate(figures.new_tokens, figures.token_seconds));
    bench_add(&rates->bytes, rate(figures.token_bytes, figures.token_seconds));
    rates->pass_bytes = (double)figures.token_bytes / (double)figures.token_passes;
    return RINGMOE_OK;
}

static ringmoe_status time_ours(generate_bench *bench)
{
    const generate_bench_options *options = bench->options;
    ringmoe_generate_figures figures;
    ringmoe_machine_ceilings ceilings;
    ringmoe_status status = generate(bench, 1, options->n_prompt, 1, &figures);
    if (status != RINGMOE_OK) return status;
    bench_add(&bench->prompt, rate(figures.prompt_tokens, figures.prompt_seconds));
    status = time_passes(bench, 1, &bench->one);
    if (status == RINGMOE_OK) status = time_passes(bench, options->n_texts, &bench->many);
    if (status != RINGMOE_OK) return status;
    status = ringmoe_machine_measure(bench->session->context, CEILING_ROUNDS, &ceilings);
    if (status != RINGMOE_OK) return status;
    bench_add(&bench->memory, 1e9 * ceilings.mean_read_gb_per_s);
    bench_add(&bench->best_memory, 1e9 * ceilings.read_gb_per_s);
    return RINGMOE_OK;
}

static int take_turn(generate_bench *bench)
{
    int status = session_check(bench->session, time_ours(bench));
    if (!status && bench->options->llama_bench) status = generate_bench_llama(bench);
    return status;
}

/* Any tokens, of which the prompts are windows. */
static bool make_prompts(generate_bench *bench)
{
    const generate_bench_options *options = bench->options;
    int64_t n = options->n_prompt + options->n_texts;
    uint32_t number = 1;
    bench->tokens = malloc((size_t)n * sizeof *bench->tokens);
    bench->prompts = calloc((size_t)options->n_texts, sizeof *bench->prompts);
    for (int64_t i = 0; bench->tokens && i < n; i++) {
        number = number * 1664525U + 1013904223U;
        bench->tokens[i] =
            (int32_t)((number >> 8) %
                      (uint32_t)ringmoe_model_get_config(bench->model)->vocab_size);
    }
    return bench->tokens && bench->prompts;
}

static int run(generate_bench *bench)
{
    tool_session *session = bench->session;
    const generate_bench_options *options = bench->options;
    int status = session_open(session, &options->placement);
    if (!status)
        status = source_lay_out(session, &options->placement, options->model, bench->path);
    if (!status) status = generate_bench_load(bench);
    if (!status)
        status = session_settle(session, make_prompts(bench) ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the prompts");
    for (int64_t i = 0; i < options->repeat && !status; i++) status = take_turn(bench);
    if (!status) status = generate_bench_report(bench);
    free(bench->tokens);
    free(bench->prompts);
    ringmoe_model_destroy(&bench->model);
    return status;
}

static int check_llama(const tool_session *session, const generate_bench_options *options)
{
    size_t length = strlen(options->model);
    if (session->size > 1)
        return session_fail(session, EXIT_USAGE,
                            "--llama-bench: it knows no ranks: start one, without mpiexec");
    if (length < 5 || strcmp(options->model + length - 5, ".gguf") != 0)
        return session_fail(session, EXIT_USAGE,
                            "--llama-bench: it reads GGUF: give --model FILE.gguf, which "
                            "ringmoe convert --to gguf makes");
    if (strchr(options->llama_bench, '/') && access(options->llama_bench, X_OK) != 0)
        return session_fail(session, EXIT_USAGE, "--llama-bench %.300s: is no program",
                            options->llama_bench);
    return EXIT_DONE;
}

int bench_generate(tool_session *session, int argc, char **argv)
{
    generate_bench_options options = {PLACEMENT_DEFAULT, .n_prompt = 512, .n_new = 64,
                                      .n_texts = 8, .repeat = 5};
    option_result given;
    int status;
    ringmoe_load_settings_default(&options.load);
    if (!session_parse(session, &set, argc, argv, &options, &given, &status)) return status;
    if (!options.model)
        return session_fail(session, EXIT_USAGE, "no --model: give a model's folder");
    if (options.llama_bench) status = check_llama(session, &options);
    if (status) return status;
    options.load.weights =
        source_forms(&set, &given, options.weights, options.placement.precision);
    options.load.max_sequences = options.n_texts;
    generate_bench *bench = calloc(1, sizeof *bench);
    status = session_settle(session, bench ? EXIT_DONE : EXIT_FAILED, "no memory");
    if (!status) {
        bench->session = session;
        bench->options = &options;
        status = run(bench);
    }
    free(bench);
    return status;
}
