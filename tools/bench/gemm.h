/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench gemm`: matrix products of expert shapes by contenders in turns: our kernels,
 * OpenBLAS, and oneDNN where the build has it. In the order of a run:
 *
 *   gemm.c          the options, and the plan they make
 *   gemm_run.c      the loop over operations, precisions, shapes, threads
 *   gemm_lists.c    "1,4,16" and "512x1408,1024x2816"
 *   gemm_problem.c  the numbers multiplied, enough weights to leave the caches behind
 *   gemm_ours.c, _openblas.c, _onednn.c    the contenders
 *   gemm_measure.c  turns, and the best of them
 *   gemm_result.c   what a product must cost, and ratios
 *   gemm_tables.c, _json.c                 what is printed
 */
#ifndef TOOLS_BENCH_GEMM_H
#define TOOLS_BENCH_GEMM_H

#include "bench.h"
#include "progress.h"

enum {
    GEMM_MAX_LIST = 32,   /* entries of an option's list */
    GEMM_MAX_THREADS = 2, /* numbers of threads side by side in a table */
    GEMM_MAX_SIZE = 1 << 20,
    GEMM_MAX_EXPERTS = 4096,
    GEMM_ROW_BLOCK = 32, /* rows a library may like to have a multiple of */
    GEMM_MAX_LIBRARIES = 2,
    GEMM_PRECISIONS = 4,
};

typedef enum gemm_operation {
    GEMM_FORWARD,         /* Y = X W^T */
    GEMM_BACKWARD_INPUT,  /* dX = dY W */
    GEMM_BACKWARD_WEIGHT, /* dW = dY^T X */
    GEMM_OPERATIONS,
} gemm_operation;

/* "forward"; the names of the option, NULL-terminated. */
extern const char *const gemm_operation_names[GEMM_OPERATIONS + 1];
const char *gemm_precision_name(int precision);
/* Bytes that a weight takes, packed. */
double gemm_weight_bytes(ringmoe_precision precision);
bool gemm_is_quantised(ringmoe_precision precision);

/* W is [n_out][n_in]. */
typedef struct gemm_shape {
    int64_t n_in, n_out;
} gemm_shape;

typedef struct gemm_plan {
    gemm_shape shapes[GEMM_MAX_LIST];
    int64_t rows[GEMM_MAX_LIST], experts[GEMM_MAX_LIST], tokens[GEMM_MAX_LIST];
    int64_t operations[GEMM_MAX_LIST], threads[GEMM_MAX_LIST];
    int n_shapes, n_rows, n_experts, n_tokens, n_operations, n_threads;
    bool has_precision[GEMM_PRECISIONS]; /* by ringmoe_precision */
    int64_t repeat;
    bool grouped, warm;
} gemm_plan;

/* Each takes a text of parts parted by commas; false with a line in `error`. */
bool gemm_list_integers(const char *option, const char *text, int64_t high, int64_t *values,
                        int *count, char error[256]);
bool gemm_list_shapes(const char *text, gemm_shape *shapes, int *count, char error[256]);
bool gemm_list_operations(const char *text, int64_t *operations, int *count, char error[256]);

/* One product on one number of threads. Several sets of weights take turns, so that each comes
 * from memory, as in a model. */
typedef struct gemm_problem {
    gemm_operation operation;
    ringmoe_precision precision;
    int n_threads;
    gemm_shape shape;
    int n_experts, n_sets;
    int64_t max_rows;            /* of all experts together */
    const ringmoe_real *weights; /* [n_sets][n_experts][n_out][n_in] */
    const ringmoe_real *x, *d_y; /* [max_rows + GEMM_ROW_BLOCK][n_in], [..][n_out] */
    ringmoe_real *y, *d_x;       /* [..][n_out], [..][n_in] */
    ringmoe_real *d_w;           /* as weights; NULL in other operations */
} gemm_problem;

/* The arrays of a shape. */
typedef struct gemm_arrays {
    ringmoe_real *weights, *x, *d_y, *y, *d_x, *d_w;
    int n_sets;
} gemm_arrays;

/* Weight sets of n_experts matrices that are together larger than twice the caches. */
int gemm_count_sets(const gemm_plan *plan, const gemm_shape *shape, int n_experts,
                    ringmoe_precision precision, int n_threads);
/* Memory a shape takes at most, with what the contenders pack. */
double gemm_bytes_needed(const gemm_plan *plan, const gemm_shape *shape, int n_experts,
                         int64_t max_rows, int n_threads);
bool gemm_arrays_open(gemm_arrays *arrays, const gemm_shape *shape, int n_sets, int n_experts,
                      int64_t max_rows, bool with_d_w);
void gemm_arrays_close(gemm_arrays *arrays);
/* Aligned to and backed by huge pages where the system has them; NULL; freed by free(). */
void *gemm_allocate(int64_t bytes);
/* offsets [n_experts + 1] of `tokens` rows whose counts fall as 1, 1/2, 1/3, ... (Zipf), over
 * the experts in a fixed disorder. */
void gemm_zipf_offsets(int n_experts, int64_t tokens, int64_t *offsets);

/* Something that multiplies. */
typedef struct gemm_contender {
    const char *name, *key; /* "oneDNN" on the screen, "onednn" in JSON */
    void (*version)(char text[64]);
    /* Packs the weights. NULL on failure, with a line or "". */
    void *(*open)(const gemm_problem *problem, char error[256]);
    /* Gets ready for these rows, [n_experts + 1]; false: it has no such product. */
    bool (*prepare)(void *state, const int64_t *offsets);
    bool (*run)(void *state, int set);
    /* What prepare chose, "" or a word for the reader. */
    const char *(*note)(const void *state);
    void (*close)(void *state);
} gemm_contender;

extern const gemm_contender gemm_ours, gemm_openblas, gemm_onednn;
/* Those of this build, OpenBLAS first, which has every product. NULL-terminated. */
extern const gemm_contender *const gemm_libraries[GEMM_MAX_LIBRARIES + 1];

typedef struct gemm_timing {
    double best, median; /* seconds; 0: not there */
    const char *note;
} gemm_timing;

typedef struct gemm_result {
    gemm_operation operation;
    ringmoe_precision precision;
    gemm_shape shape;
    int n_threads, n_experts, n_sets;
    int64_t rows, most_rows; /* of all experts, of the one with most */
    double flops, bytes;     /* bytes of weights read, or written as their gradient */
    double roof;             /* seconds the machine needs at least */
    gemm_timing ours, libraries[GEMM_MAX_LIBRARIES];
    gemm_timing single; /* grouped: ours with one expert of the mean number of rows */
    int64_t single_rows;
} gemm_result;

/* The fastest library of a result: its index. */
int gemm_best_library(const gemm_result *result);
/* Time of the fastest library over ours: above 1 ours is faster. */
double gemm_ratio(const gemm_result *result);
/* Share of the roofline that ours reaches. */
double gemm_share(const gemm_result *result);
/* Rate of a grouped product over that of one expert with the mean number of rows. */
double gemm_grouped_share(const gemm_result *result);

/* A run of the command. */
typedef struct gemm_run {
    const tool_session *session;
    gemm_plan plan;
    ringmoe_machine machine;
    /* The best seen so far, by the plan's numbers of threads; and those of the start. */
    ringmoe_machine_ceilings ceilings[GEMM_MAX_THREADS], first_ceilings[GEMM_MAX_THREADS];
    const char *level; /* of our kernels */
    gemm_result *results;
    int n_results, capacity;
    progress progress;
    double work, work_done; /* for the progress bar, in operations */
    double started, seconds;
} gemm_run;

/* Fills in operations and bytes of a result that says which product it is. */
void gemm_result_describe(gemm_result *result, const int64_t *offsets);
/* Fills in the roofline of all results from the limits known so far. */
void gemm_results_set_roof(gemm_run *run);
bool gemm_result_append(gemm_run *run, const gemm_result *result);

/* Measures and prints everything. Returns an exit status. */
int gemm_run_plan(gemm_run *run, bool is_json);

/* What a case weighs in the progress bar, from its operations. */
double gemm_work(double flops);

/* Rows to measure a problem with. */
typedef struct gemm_rows {
    const int64_t *offsets; /* [n_experts + 1] */
    int64_t single_rows;    /* of the one expert to compare with; 0: none */
} gemm_rows;
/* Measures a problem for each of `rows` and appends the results. Returns an exit status. */
int gemm_measure(gemm_run *run, const gemm_problem *problem, const gemm_rows *rows, int n_rows);

void gemm_print_head(const gemm_run *run);
/* The results from `first` on, all of one operation and precision. */
void gemm_print_table(const gemm_run *run, int first);
void gemm_print_verdict(const gemm_run *run);
json_t *gemm_to_json(const gemm_run *run);

#endif
