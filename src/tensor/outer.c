/* SPDX-License-Identifier: MIT
 *
 * Weight gradients: dW = dY^T X, the depth being the rows. dW is cut into blocks; the columns
 * of dY that make a block's rows are one strip, those of X that make its columns another. All
 * blocks of a rectangle whose strips have room together are one batch, as are small rectangles
 * of several groups; a job is one strip of dY, a task one block.
 *
 *              X: strip 0  strip 1  strip 2
 *                 .-------.-------.-------.
 *   dY: strip 0   |   0   |   1   |   2   |   job 0
 *                 |-------+-------+-------|
 *       strip 1   |   3   |   4   |   5   |   job 1
 *                 '-------'-------'-------'
 */
#include <omp.h>

#include "tensor/outer_block.h"

/* More than this many tasks a thread would not level the threads any better. */
enum { MOST_JOBS = 512, TASKS_A_THREAD = 8, LEAST_ROWS = 96, LEAST_COLUMNS = 64 };

typedef struct outer_batch {
    rm_workspace workspace;
    size_t empty; /* of the shared part, taken for the tables below */
    rm_work work;
    rm_outer_job *jobs;
} outer_batch;

/* A part of one term of a group. Its strips are at most block_rows and block_columns wide. */
typedef struct rectangle {
    const rm_outer_group *group;
    const rm_outer *term;
    int64_t row, n_rows, column, n_columns;
    int64_t block_rows, block_columns;
} rectangle;

/* --- running a batch --- */

static void run_tasks(outer_batch *batch, int thread)
{
    const rm_tile_kernels *kernels = batch->workspace.kernels;
    rm_own own = rm_workspace_own(&batch->workspace, thread);
    int job;
    int64_t task;
    if (kernels->begin) kernels->begin();
    while (rm_work_next(&batch->work, thread, &job, &task))
        rm_outer_block_run(batch->workspace.compute->kernels, &batch->jobs[job], task, &own);
    if (kernels->end) kernels->end();
}

static void run_batch(outer_batch *batch)
{
    if (batch->work.n_jobs == 0) return;
    rm_work_cut(&batch->work);
#pragma omp parallel num_threads(batch->workspace.compute->n_threads)
    run_tasks(batch, omp_get_thread_num());
    batch->work.n_jobs = 0;
    batch->workspace.shared.used = batch->empty;
}

/* --- collecting a batch --- */

static int64_t n_row_strips(const rectangle *part)
{
    return rm_ceil_divide(part->n_rows, part->block_rows);
}

static int64_t n_column_strips(const rectangle *part)
{
    return rm_ceil_divide(part->n_columns, part->block_columns);
}

static rm_strip strip_of_d_y(const rm_tile_kernels *kernels, const rectangle *part,
                             int64_t index)
{
    int64_t n = n_row_strips(part);
    int64_t first = rm_part_start(part->n_rows, kernels->mr, n, index);
    int64_t end = rm_part_start(part->n_rows, kernels->mr, n, index + 1);
    return (rm_strip){.kind = RM_STRIP_A_STEPS,
                      .kernels = kernels,
                      .data = part->term->d_y,
                      .stride = part->term->d_y_stride,
                      .rows = part->term->d_y_rows,
                      .first = part->row + first,
                      .width = end - first,
                      .depth = part->term->n_rows};
}

static rm_strip strip_of_x(const rm_tile_kernels *kernels, const rectangle *part, int64_t index)
{
    int64_t n = n_column_strips(part);
    int64_t first = rm_part_start(part->n_columns, kernels->nr, n, index);
    int64_t end = rm_part_start(part->n_columns, kernels->nr, n, index + 1);
    return (rm_strip){.kind = RM_STRIP_B_STEPS,
                      .kernels = kernels,
                      .data = part->term->x,
                      .stride = part->term->x_stride,
                      .rows = part->term->x_rows,
                      .first = part->column + first,
                      .width = end - first,
                      .depth = part->term->n_rows};
}

/* What the rectangle takes of the shared part, without its packed strips or with them. */
static int64_t table_bytes(const rectangle *part)
{
    return n_column_strips(part) * (int64_t)sizeof(rm_strip) + RM_ARENA_ALIGN;
}

static int64_t rectangle_bytes(const rm_tile_kernels *kernels, const rectangle *part)
{
    int64_t rows = part->n_rows + n_row_strips(part) * kernels->mr;
    int64_t columns = part->n_columns + n_column_strips(part) * kernels->nr;
    int64_t depth = rm_whole(part->term->n_rows, kernels->depth_step);
    int64_t n_strips = n_row_strips(part) + n_column_strips(part);
    return (rows * kernels->a_size + columns * kernels->b_size) * depth +
           n_strips * RM_ARENA_ALIGN + table_bytes(part);
}

/* Appends the rectangle's jobs; there is room for them. */
static void append(outer_batch *batch, const rectangle *part, bool is_shared)
{
    const rm_tile_kernels *kernels = batch->workspace.kernels;
    rm_arena *shared = &batch->workspace.shared;
    rm_strip *x = RM_TAKE(shared, n_column_strips(part), rm_strip);
    for (int64_t j = 0; j < n_column_strips(part); j++) {
        x[j] = strip_of_x(kernels, part, j);
        if (is_shared) x[j].packed = rm_arena_take(shared, rm_strip_bytes(&x[j]), 1);
    }
    for (int64_t i = 0; i < n_row_strips(part); i++) {
        rm_strip d_y = strip_of_d_y(kernels, part, i);
        if (is_shared) d_y.packed = rm_arena_take(shared, rm_strip_bytes(&d_y), 1);
        int job = batch->work.n_jobs++;
        batch->jobs[job] = (rm_outer_job){part->term, part->group->in, d_y, x};
        batch->work.jobs[job] = (rm_job){
            .n_tasks = n_column_strips(part),
            .task_cost = (double)d_y.width * (double)(part->term->n_rows + LEAST_COLUMNS)};
    }
}

/* Halves of the rectangle, along its longer side. */
static bool cut_in_two(const rm_tile_kernels *kernels, const rectangle *part, rectangle half[2])
{
    bool by_rows = part->n_rows > part->block_rows &&
                   (part->n_rows >= part->n_columns || part->n_columns <= part->block_columns);
    if (!by_rows && part->n_columns <= part->block_columns) return false;
    half[0] = half[1] = *part;
    if (by_rows) {
        half[0].n_rows = rm_part_start(part->n_rows, kernels->mr, 2, 1);
        half[1].n_rows = part->n_rows - half[0].n_rows;
        half[1].row += half[0].n_rows;
    } else {
        half[0].n_columns = rm_part_start(part->n_columns, kernels->nr, 2, 1);
        half[1].n_columns = part->n_columns - half[0].n_columns;
        half[1].column += half[0].n_columns;
    }
    return true;
}

static void add_rectangle(outer_batch *batch, const rectangle *part)
{
    const rm_tile_kernels *kernels = batch->workspace.kernels;
    int64_t room = (int64_t)(batch->workspace.shared.reserved - batch->empty);
    int64_t bytes = rectangle_bytes(kernels, part);
    rectangle half[2];
    bool is_small = bytes <= room && n_row_strips(part) <= MOST_JOBS;
    if (!is_small && cut_in_two(kernels, part, half)) {
        add_rectangle(batch, &half[0]);
        add_rectangle(batch, &half[1]);
        return;
    }
    int64_t needed = is_small ? bytes : table_bytes(part);
    if (needed > rm_workspace_left(&batch->workspace) ||
        batch->work.n_jobs + n_row_strips(part) > MOST_JOBS)
        run_batch(batch);
    append(batch, part, is_small);
}

/* Blocks as large as the cache holds, or smaller where there are too few for the threads. */
static void choose_blocks(const outer_batch *batch, int n_groups, rectangle *part)
{
    const rm_tile_kernels *kernels = batch->workspace.kernels;
    int n_threads = batch->workspace.compute->n_threads;
    int64_t wanted = n_threads > 1 ? TASKS_A_THREAD * n_threads / n_groups : 1;
    part->block_rows = kernels->block_rows;
    part->block_columns = rm_block_columns(kernels);
    while (n_row_strips(part) * n_column_strips(part) < wanted) {
        if (part->block_columns > LEAST_COLUMNS)
            part->block_columns /= 2;
        else if (part->block_rows > LEAST_ROWS)
            part->block_rows /= 2;
        else
            break;
    }
}

static void add_term(outer_batch *batch, const rm_outer_group *group, const rm_outer *term,
                     int n_groups)
{
    if (term->n_rows == 0 && term->sink.add) return;
    if (group->out == 0 || group->in == 0) return;
    rectangle all = {
        .group = group, .term = term, .n_rows = group->out, .n_columns = group->in};
    choose_blocks(batch, n_groups, &all);
    add_rectangle(batch, &all);
}

/* The first terms of all groups, then the second ones, .. so that an element's terms are in
 * different batches. */
void rm_outer_grouped(const rm_compute *compute, ringmoe_precision precision,
                      const rm_outer_group *groups, int n_groups)
{
    outer_batch batch = {.workspace =
                             rm_workspace_cut(compute, rm_tiles_of(compute, precision))};
    batch.work = rm_workspace_work(&batch.workspace, MOST_JOBS);
    batch.jobs = RM_TAKE(&batch.workspace.shared, MOST_JOBS, rm_outer_job);
    batch.empty = batch.workspace.shared.used;
    bool is_any = true;
    for (int t = 0; is_any; t++) {
        is_any = false;
        for (int g = 0; g < n_groups; g++) {
            if (t >= groups[g].n_terms) continue;
            add_term(&batch, &groups[g], &groups[g].terms[t], n_groups);
            is_any = true;
        }
        run_batch(&batch);
    }
}

int64_t rm_outer_scratch(int64_t widest)
{
    return widest * 0 + (int64_t)RM_SCRATCH_BYTES;
}
