/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench generate`:
 *
 *   generate.c         options, and generation in turns
 *   generate_load.c    loading, beside reading the same files
 *   generate_llama.c   llama.cpp's llama-bench on the same file
 *   generate_report.c  the table, or JSON
 */
#ifndef TOOLS_BENCH_GENERATE_H
#define TOOLS_BENCH_GENERATE_H

#include "bench.h"
#include "source.h"

typedef struct generate_bench_options {
    tool_placement placement;
    ringmoe_load_settings load;
    const char *model, *llama_bench;
    int64_t n_prompt, n_new, n_texts, repeat;
    int weights, json;
} generate_bench_options;

/* Seconds, in turns; [0] cold: none of the files is in memory before; [1] warm. */
typedef struct load_times {
    int64_t bytes;         /* of the files */
    bench_samples read[2]; /* into buffers */
    bench_samples keep[2]; /* into new memory */
    bench_samples load[2];
} load_times;

/* Generating, of one text or several. */
typedef struct pass_rates {
    bench_samples tokens, bytes; /* a second */
    double pass_bytes;           /* of a pass, in the last turn */
} pass_rates;

typedef struct generate_bench {
    tool_session *session;
    const generate_bench_options *options;
    char path[SOURCE_PATH]; /* of the weights */
    ringmoe_model *model;
    int32_t *tokens;
    ringmoe_prompt *prompts; /* [n_texts] */
    load_times loading;
    bench_samples prompt; /* tokens a second */
    pass_rates one, many;
    bench_samples memory, best_memory;       /* bytes a second: a turn's mean, its best */
    bench_samples llama_prompt, llama_token; /* tokens a second */
} generate_bench;

/* All turns of loading; the model of the last one stays. Returns an exit status. */
int generate_bench_load(generate_bench *bench);

/* One turn of llama-bench: the prompt, and one text. An exit status. */
int generate_bench_llama(generate_bench *bench);

/* Prints on rank 0. An exit status. */
int generate_bench_report(const generate_bench *bench);

#endif
