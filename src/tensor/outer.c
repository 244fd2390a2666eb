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

/* A part of a group's matrix, whose blocks are at most so large. */
typedef struct rectangle {
    const rm_outer_group *group;
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

static rm_operand strip_of_d_y(const rm_tile_kernels *kernels, const rectangle *part,
                               const rm_outer *term, int64_t index)
{
    int64_t n = n_row_strips(part);
    int64_t first = rm_part_start(part->n_rows, kernels->mr, n, index);
    int64_t end = rm_part_start(part->n_rows, kernels->mr, n, index + 1);
    return (rm_operand){.kind = RM_OPERAND_A_STEPS,
                        .kernels = kernels,
                        .data = term->d_y,
                        .stride = term->d_y_stride,
                        .rows = term->d_y_rows,
                        .first = part->row + first,
                        .width = end - first,
                        .depth = term->n_rows};
}

static rm_operand strip_of_x(const rm_tile_kernels *kernels, const rectangle *part,
                             const rm_outer *term, int64_t index)
{
    int64_t n = n_column_strips(part);
    int64_t first = rm_part_start(part->n_columns, kernels->nr, n, index);
    int64_t end = rm_part_start(part->n_columns, kernels->nr, n, index + 1);
    return (rm_operand){.kind = RM_OPERAND_B_STEPS,
                        .kernels = kernels,
                        .data = term->x,
                        .stride = term->x_stride,
                        .rows = term->x_rows,
                        .first = part->column + first,
                        .width = end - first,
                        .depth = term->n_rows};
}

/* What the rectangle's operands take of the shared part, without their packed forms. */
static int64_t table_bytes(const rectangle *part)
{
    int64_t n_strips = n_row_strips(part) + n_column_strips(part);
    return n_strips * part->group->n_terms * (int64_t)sizeof(rm_operand) + 2 * RM_ARENA_ALIGN;
}

static int64_t rectangle_bytes(const rm_tile_kernels *kernels, const rectangle *part)
{
    int64_t n_row = n_row_strips(part), n_column = n_column_strips(part), depth = 0;
    int64_t row_bytes = (part->n_rows / kernels->mr + n_row) * kernels->a_term;
    int64_t column_bytes = (part->n_columns / kernels->nr + n_column) * kernels->b_term;
    for (int t = 0; t < part->group->n_terms; t++)
        depth += rm_whole(part->group->terms[t].n_rows, kernels->depth_step);
    return (row_bytes + column_bytes) * depth + table_bytes(part) +
           (n_row + n_column) * part->group->n_terms * RM_ARENA_ALIGN;
}

/* Cost of one block: the rows of all terms, and writing it as if for some rows more. */
static double block_cost(const rectangle *part, int64_t height)
{
    enum { WRITING_ROWS = 64 };
    double rows = 0;
    for (int t = 0; t < part->group->n_terms; t++)
        rows += (double)(part->group->terms[t].n_rows + WRITING_ROWS);
    return rows * (double)height;
}

static rm_operand with_memory(rm_operand operand, rm_arena *shared, bool is_shared)
{
    if (is_shared) operand.packed = rm_arena_take(shared, rm_operand_bytes(&operand), 1);
    return operand;
}

/* Appends the rectangle's jobs; there is room for them. */
static void append(outer_batch *batch, const rectangle *part, bool is_shared)
{
    const rm_tile_kernels *kernels = batch->workspace.kernels;
    const rm_outer_group *group = part->group;
    rm_arena *shared = &batch->workspace.shared;
    int64_t n_row = n_row_strips(part), n_column = n_column_strips(part);
    rm_operand *x = RM_TAKE(shared, n_column * group->n_terms, rm_operand);
    rm_operand *d_y = RM_TAKE(shared, n_row * group->n_terms, rm_operand);
    for (int64_t j = 0; j < n_column; j++)
        for (int t = 0; t < group->n_terms; t++)
            x[j * group->n_terms + t] =
                with_memory(strip_of_x(kernels, part, &group->terms[t], j), shared, is_shared);
    for (int64_t i = 0; i < n_row; i++, d_y += group->n_terms) {
        for (int t = 0; t < group->n_terms; t++)
            d_y[t] = with_memory(strip_of_d_y(kernels, part, &group->terms[t], i), shared,
                                 is_shared);
        int job = batch->work.n_jobs++;
        batch->jobs[job] = (rm_outer_job){group, d_y, x};
        batch->work.jobs[job] =
            (rm_job){.n_tasks = n_column, .task_cost = block_cost(part, d_y->width)};
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

/* Whether the group changes anything: rows, or zeros to be stored. */
static bool is_work(const rm_outer_group *group)
{
    for (int t = 0; t < group->n_terms; t++)
        if (group->terms[t].n_rows > 0 || !group->terms[t].sink.add)
            return group->out > 0 && group->in > 0;
    return false;
}

void rm_outer_grouped(const rm_compute *compute, ringmoe_precision precision,
                      const rm_outer_group *groups, int n_groups)
{
    outer_batch batch = {.workspace =
                             rm_workspace_cut(compute, rm_tiles_of(compute, precision))};
    batch.work = rm_workspace_work(&batch.workspace, MOST_JOBS);
    batch.jobs = RM_TAKE(&batch.workspace.shared, MOST_JOBS, rm_outer_job);
    batch.empty = batch.workspace.shared.used;
    for (int g = 0; g < n_groups; g++) {
        rectangle all = {
            .group = &groups[g], .n_rows = groups[g].out, .n_columns = groups[g].in};
        if (!is_work(&groups[g])) continue;
        choose_blocks(&batch, n_groups, &all);
        add_rectangle(&batch, &all);
    }
    run_batch(&batch);
}
