/* SPDX-License-Identifier: MIT */
#include "generate.h"
#include "json_text.h"
#include "text.h"

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

/* --- table --- */

static void print_times(const load_times *times, const char *what,
                        const bench_samples samples[2])
{
    printf("%-20s", what);
    for (int warm = 0; warm < 2; warm++)
        printf(" %8.2f s %5.2f GB/s", bench_median(&samples[warm]),
               ratio((double)times->bytes / 1e9, bench_median(&samples[warm])));
    printf("\n");
}

static void print_loading(const load_times *times)
{
    printf("\n%-20s %10s %10s %10s\n", "", "cold", "", "warm");
    print_times(times, "reading the file", times->read);
    print_times(times, "  into new memory", times->keep);
    print_times(times, "loading the model", times->load);
    printf("%-20s", "  over reading");
    for (int warm = 0; warm < 2; warm++)
        printf(" %8.2f x %10s",
               ratio(bench_median(&times->load[warm]), bench_median(&times->read[warm])), "");
    printf("\n");
}

/* A rate, and llama-bench's where it was asked for. */
static void print_rate(const generate_bench *bench, const char *what, double rate,
                       const char *bytes, const bench_samples *llama)
{
    printf("%-20s %10.1f %12s", what, rate, bytes);
    if (bench->options->llama_bench && llama)
        printf(" %12.1f %9.2f x", bench_median(llama), ratio(rate, bench_median(llama)));
    printf("\n");
}

/* Tokens a second, and the bytes of a pass with their share of what the memory gives. */
static void print_passes(const generate_bench *bench, const char *what, const pass_rates *rates,
                         const bench_samples *llama)
{
    char bytes[64];
    snprintf(bytes, sizeof bytes, "%s %3.0f%%", text_bytes(rates->pass_bytes).text,
             100 * ratio(bench_median(&rates->bytes), bench_median(&bench->memory)));
    print_rate(bench, what, bench_median(&rates->tokens), bytes, llama);
}

static void print_table(const generate_bench *bench)
{
    const generate_bench_options *options = bench->options;
    ringmoe_model_bytes bytes;
    char what[64];
    ringmoe_model_get_bytes(bench->model, &bytes);
    printf("layout    %s\n", session_layout_words(bench->session).text);
    printf("weights   %s, %s in memory\n", source_forms_words(bench->model).text,
           text_bytes((double)bytes.weights).text);
    printf("memory    %.1f GB/s read, the mean that passes are compared with; %.1f at best\n",
           bench_median(&bench->memory) / 1e9, bench_median(&bench->best_memory) / 1e9);
    print_loading(&bench->loading);
    printf("\n%-20s %10s %12s", "", "tokens/s", "a pass reads");
    printf(options->llama_bench ? " %12s\n" : "\n", "llama-bench");
    snprintf(what, sizeof what, "prompt of %lld", (long long)options->n_prompt);
    print_rate(bench, what, bench_median(&bench->prompt), "", &bench->llama_prompt);
    print_passes(bench, "one text", &bench->one, &bench->llama_token);
    snprintf(what, sizeof what, "%lld texts", (long long)options->n_texts);
    print_passes(bench, what, &bench->many, NULL);
    printf("%-20s %10.2f x\n", "",
           ratio(bench_median(&bench->many.tokens), bench_median(&bench->one.tokens)));
}

/* --- JSON --- */

static json_t *pair_to_json(const bench_samples samples[2])
{
    return json_pack("{s:o, s:o}", "cold", json_number(bench_median(&samples[0])), "warm",
                     json_number(bench_median(&samples[1])));
}

static json_t *load_to_json(const load_times *times)
{
    return json_pack("{s:I, s:o, s:o, s:o}", "bytes", (json_int_t)times->bytes, "read_seconds",
                     pair_to_json(times->read), "read_into_memory_seconds",
                     pair_to_json(times->keep), "load_seconds", pair_to_json(times->load));
}

static json_t *passes_to_json(const generate_bench *bench, const pass_rates *rates)
{
    double share = ratio(bench_median(&rates->bytes), bench_median(&bench->memory));
    return json_pack("{s:o, s:o, s:o}", "tokens_per_s",
                     json_number(bench_median(&rates->tokens)), "pass_bytes",
                     json_number(rates->pass_bytes), "share_of_reading", json_number(share));
}

static json_t *llama_to_json(const generate_bench *bench)
{
    if (!bench->options->llama_bench) return json_null();
    return json_pack("{s:o, s:o}", "prompt_tokens_per_s",
                     json_number(bench_median(&bench->llama_prompt)), "tokens_per_s",
                     json_number(bench_median(&bench->llama_token)));
}

static json_t *to_json(const generate_bench *bench)
{
    const generate_bench_options *options = bench->options;
    ringmoe_model_bytes bytes;
    ringmoe_model_get_bytes(bench->model, &bytes);
    return json_pack(
        "{s:s, s:I, s:o, s:I, s:o, s:o, s:I, s:o, s:o, s:o, s:o}", "weights",
        source_forms_words(bench->model).text, "weights_bytes", (json_int_t)bytes.weights,
        "loading", load_to_json(&bench->loading), "prompt_tokens",
        (json_int_t)options->n_prompt, "prompt_tokens_per_s",
        json_number(bench_median(&bench->prompt)), "one", passes_to_json(bench, &bench->one),
        "texts", (json_int_t)options->n_texts, "together", passes_to_json(bench, &bench->many),
        "read_bytes_per_s", json_number(bench_median(&bench->memory)), "best_read_bytes_per_s",
        json_number(bench_median(&bench->best_memory)), "llama_bench", llama_to_json(bench));
}

int generate_bench_report(const generate_bench *bench)
{
    if (bench->session->rank != 0) return EXIT_DONE;
    if (bench->options->json) return session_print_json(bench->session, to_json(bench));
    print_table(bench);
    return EXIT_DONE;
}
