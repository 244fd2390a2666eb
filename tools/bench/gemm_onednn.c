/* SPDX-License-Identifier: MIT
 *
 * oneDNN, a primitive an expert, each made before the clock runs. Weights are packed into the
 * layout oneDNN prefers; activations are converted to bf16 while the clock runs, as ours are.
 * Where oneDNN may do one thing in two ways, the quicker one counts:
 *
 *   forward, backward-input   the rows as they are, or padded to a multiple of 32
 *   backward-weight           as a product, or as the gradient of a dense layer
 */
#include "gemm_onednn.h"

#include <stdlib.h>
#include <string.h>

enum { TRIALS = 3 };
static const double long_trial_seconds = 0.1; /* one is enough to tell */

static void onednn_version(char text[64])
{
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, 64, "%d.%d.%d", version->major, version->minor, version->patch);
}

static void close_onednn(void *state)
{
    onednn_state *o = state;
    if (o->parts[0] && o->parts[1]) onednn_drop_parts(o);
    if (o->packed) onednn_drop_packed(o);
    onednn_drop_copy(&o->x);
    onednn_drop_copy(&o->d_y);
    free(o->x.data);
    free(o->d_y.data);
    free(o->packed);
    for (int way = 0; way < ONEDNN_WAYS; way++) free(o->parts[way]);
    onednn_close(&o->library);
    free(o);
}

/* Zeros also behind the last row, where padded rows lie. */
static bool allocate_converted(const onednn_state *o, onednn_converted *numbers, int64_t width)
{
    int64_t bytes = 2 * (o->problem->max_rows + GEMM_ROW_BLOCK) * width;
    if (onednn_operand_type(o) != dnnl_bf16) return true;
    numbers->data = gemm_allocate(bytes);
    if (numbers->data) memset(numbers->data, 0, (size_t)bytes);
    return numbers->data != NULL;
}

static bool allocate(onednn_state *o)
{
    const gemm_problem *problem = o->problem;
    bool done = onednn_open(&o->library);
    o->packed = calloc((size_t)problem->n_sets * (size_t)problem->n_experts, sizeof *o->packed);
    for (int way = 0; way < ONEDNN_WAYS; way++)
        o->parts[way] = calloc((size_t)problem->n_experts, sizeof *o->parts[way]);
    return done && o->packed && o->parts[0] && o->parts[1] &&
           allocate_converted(o, &o->x, problem->shape.n_in) &&
           allocate_converted(o, &o->d_y, problem->shape.n_out);
}

static void *open_onednn(const gemm_problem *problem, char error[256])
{
    onednn_state *o = calloc(1, sizeof *o);
    if (!o) return NULL;
    o->problem = problem;
    if (allocate(o)) return o;
    snprintf(error, 256, "oneDNN cannot be set up: no memory");
    close_onednn(o);
    return NULL;
}

static bool run_part(const onednn_state *o, const onednn_part *p, int64_t index)
{
    const gemm_problem *problem = o->problem;
    bool is_gradient = onednn_is_weight(o) && o->way == 1;
    if (onednn_is_weight(o))
        dnnl_memory_set_data_handle(p->memories[2], problem->d_w + index * problem->shape.n_in *
                                                                       problem->shape.n_out);
    const dnnl_exec_arg_t args[3] = {
        {is_gradient ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, p->memories[0]},
        {is_gradient ? DNNL_ARG_SRC : DNNL_ARG_WEIGHTS,
         p->memories[1] ? p->memories[1] : o->packed[index]},
        {is_gradient ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_DST, p->memories[2]}};
    return onednn_run(&o->library, p->primitive, args, 3);
}

static bool convert(const onednn_state *o, const onednn_converted *numbers)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, numbers->from}, {DNNL_ARG_TO, numbers->to}};
    return !numbers->copy || onednn_run(&o->library, numbers->copy, args, 2);
}

static bool run_onednn(void *state, int set)
{
    const onednn_state *o = state;
    const gemm_problem *p = o->problem;
    size_t matrix = (size_t)p->shape.n_in * (size_t)p->shape.n_out;
    bool done = convert(o, &o->x) && convert(o, &o->d_y);
    for (int e = 0; done && e < p->n_experts; e++) {
        int64_t index = (int64_t)set * p->n_experts + e;
        if (o->parts[o->way][e].primitive)
            done = run_part(o, &o->parts[o->way][e], index);
        else if (onednn_is_weight(o))
            memset(p->d_w + index * (int64_t)matrix, 0, matrix * sizeof *p->d_w);
    }
    return done;
}

static bool has_odd_rows(const onednn_state *o)
{
    for (int e = 0; e < o->problem->n_experts; e++) {
        int64_t m = o->offsets[e + 1] - o->offsets[e];
        if (onednn_padded_rows(m) != m) return true;
    }
    return false;
}

/* Seconds of the best trial of a way, or 0 if it is not there. */
static double try_way(onednn_state *o, int way)
{
    double best = 0;
    if (way == 1 && !onednn_is_weight(o) && !has_odd_rows(o)) return 0;
    for (int e = 0; e < o->problem->n_experts; e++)
        if (!onednn_build_part(o, way, e)) return 0;
    o->way = way;
    double seconds = 0;
    for (int i = 0; i < TRIALS && seconds < long_trial_seconds; i++) {
        double start = clock_seconds();
        if (!run_onednn(o, i % o->problem->n_sets)) return 0;
        seconds = clock_seconds() - start;
        if (best == 0 || seconds < best) best = seconds;
    }
    return best;
}

static bool prepare_onednn(void *state, const int64_t *offsets)
{
    onednn_state *o = state;
    int64_t mean = offsets[o->problem->n_experts] / o->problem->n_experts;
    onednn_drop_parts(o);
    o->offsets = offsets;
    if (!onednn_build_copies(o)) return false;
    if (!onednn_is_weight(o) && !onednn_pack(o, onednn_padded_rows(mean > 0 ? mean : 1)))
        return false;
    double seconds[ONEDNN_WAYS];
    for (int way = 0; way < ONEDNN_WAYS; way++) seconds[way] = try_way(o, way);
    o->way = seconds[0] == 0 || (seconds[1] > 0 && seconds[1] < seconds[0]);
    return seconds[o->way] > 0;
}

static const char *note_onednn(const void *state)
{
    const onednn_state *o = state;
    return o->way == 0 ? "" : onednn_is_weight(o) ? "inner product" : "padded";
}

const gemm_contender gemm_onednn = {.name = "oneDNN",
                                    .key = "onednn",
                                    .version = onednn_version,
                                    .open = open_onednn,
                                    .prepare = prepare_onednn,
                                    .run = run_onednn,
                                    .note = note_onednn,
                                    .close = close_onednn};
