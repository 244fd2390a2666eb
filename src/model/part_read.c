/* SPDX-License-Identifier: MIT */
#include "model/part_read.h"

#include <omp.h>

/* Elements of the file a thread has in memory at a time; runs as long as that or half of it are
 * brought in one by one, shorter ones with what lies between them. */
enum { SPAN_ELEMENTS = 1 << 18, LONG_RUN_ELEMENTS = 1 << 14 };

/* Elements of a part to be read at a time. */
static int64_t block_elements(const rm_parameter *parameter, const rm_parameter_part *part)
{
    int64_t width = parameter->shape[1];
    if (part->n_columns >= LONG_RUN_ELEMENTS || width <= part->n_columns) return SPAN_ELEMENTS;
    int64_t n = SPAN_ELEMENTS / width * part->n_columns;
    return n > part->n_columns ? n : part->n_columns;
}

/* Elements [at, at + n) of the part, which lie in `span` or so elements of the file. */
static ringmoe_status read_window(const rm_compute *compute, const rm_tensor *tensor,
                                  const rm_parameter *parameter, const rm_parameter_part *part,
                                  int64_t at, int64_t n, rm_real *values, rm_error *error)
{
    int64_t begin = rm_part_run_at(parameter, part, at, 1).global;
    int64_t span = rm_part_run_at(parameter, part, at + n - 1, 1).global + 1 - begin;
    RM_TRY(rm_tensor_fetch(tensor, begin, span, error));
    for (int64_t done = 0; done < n;) {
        rm_part_run run = rm_part_run_at(parameter, part, at + done, n - done);
        rm_tensor_read(compute->kernels, tensor, run.global, run.n, values + done);
        done += run.n;
    }
    rm_tensor_release(tensor, begin, span);
    return RINGMOE_OK;
}

static ringmoe_status read_block(const rm_compute *compute, const rm_tensor *tensor,
                                 const rm_parameter *parameter, const rm_parameter_part *part,
                                 int64_t at, int64_t n, rm_real *values, rm_error *error)
{
    bool long_runs = part->n_columns >= LONG_RUN_ELEMENTS;
    for (int64_t done = 0; done < n;) {
        int64_t left = n - done;
        int64_t window = long_runs ? rm_part_run_at(parameter, part, at + done, left).n : left;
        RM_TRY(read_window(compute, tensor, parameter, part, at + done, window, values + done,
                           error));
        done += window;
    }
    return RINGMOE_OK;
}

ringmoe_status rm_part_read(const rm_compute *compute, const rm_tensor *tensor,
                            const rm_parameter *parameter, const rm_parameter_part *part,
                            int64_t first, int64_t n, rm_real *values, rm_error *error)
{
    if (n <= 0) return RINGMOE_OK;
    int64_t block = block_elements(parameter, part);
    ringmoe_status status = RINGMOE_OK;
    omp_lock_t lock;
    omp_init_lock(&lock);
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t done = 0; done < n; done += block) {
        rm_error why = {""};
        ringmoe_status found =
            read_block(compute, tensor, parameter, part, first + done,
                       n - done < block ? n - done : block, values + done, &why);
        if (found == RINGMOE_OK) continue;
        omp_set_lock(&lock);
        status = rm_fail(error, found, "%s", why.text);
        omp_unset_lock(&lock);
    }
    omp_destroy_lock(&lock);
    return status;
}
