/* SPDX-License-Identifier: MIT
 *
 * C = A B for ragged groups of rows. The rows of a group are cut into even blocks, each of
 * which is one strip of A and one job; a task is a range of the job's columns. As many jobs as
 * have room for their strips are one batch, whatever groups they belong to.
 *
 *   group 0  .-------------------.            job 0: strip of A, tasks 0 1 2 3 4
 *            | 0 | 1 | 2 | 3 | 4 |
 *            |---+---+---+---+---|            job 1: tasks 5 6 7 8 9
 *            | 5 | 6 | 7 | 8 | 9 |
 *   group 1  '---+---+---+---+---'            job 2: ..
 */
#include "tensor/product_block.h"
#include "tensor/team.h"

/* More than this many tasks a thread would not level the threads any better. */
enum { MOST_JOBS = 512, TASKS_A_THREAD = 12, LEAST_COLUMNS = 64 };

typedef struct product_batch {
    rm_workspace workspace;
    size_t empty; /* of the shared part, taken for the tables below */
    rm_work work;
    rm_product_job *jobs;
} product_batch;

static void start_batch(product_batch *batch, const rm_compute *compute,
                        const rm_tile_kernels *kernels)
{
    batch->workspace = rm_workspace_cut(compute, kernels);
    batch->work = rm_workspace_work(&batch->workspace, MOST_JOBS);
    batch->jobs = RM_TAKE(&batch->workspace.shared, MOST_JOBS, rm_product_job);
    batch->empty = batch->workspace.shared.used;
}

rm_product_term rm_product_term_of(const rm_product *product, int i)
{
    return i ? product->more[i - 1]
             : (rm_product_term){product->a, product->a_stride, product->a_rows, product->b};
}

/* --- running a batch --- */

/* Terms of the depth, of all products that are one sum. */
static int64_t whole_depth(const rm_product *product)
{
    int64_t depth = 0;
    for (int i = 0; i <= product->n_more; i++) depth += rm_product_term_of(product, i).b->k;
    return depth;
}

/* Cost of one column of a job: its multiplications, and reading B as if for some rows more. */
static double column_cost(const rm_product_job *job)
{
    enum { READING_ROWS = 16 };
    double matrices = job->product->up ? 2 : 1;
    return matrices * (double)(job->n_rows + READING_ROWS) *
           (double)(whole_depth(job->product) + 1);
}

static double batch_cost(const product_batch *batch)
{
    double cost = 0;
    for (int j = 0; j < batch->work.n_jobs; j++)
        cost += column_cost(&batch->jobs[j]) * (double)batch->jobs[j].product->b->n;
    return cost;
}

/* Columns that a task has at least: so many, or where a small matrix, such as a router's, is
 * all there is to do, each thread's share. */
static int64_t least_columns(const product_batch *batch)
{
    if (batch->work.n_jobs > 1) return LEAST_COLUMNS;
    return rm_least(LEAST_COLUMNS, rm_ceil_divide(batch->jobs[0].product->b->n,
                                                  batch->workspace.compute->n_threads));
}

/* Cuts the job's columns into tasks that cost no more than `most` or have `least` columns, if
 * they can. */
static void cut_columns(const rm_tile_kernels *kernels, double most, int64_t least,
                        rm_product_job *job, rm_job *tasks)
{
    int64_t width = rm_block_columns(kernels) / rm_product_places(job->product);
    double wanted = most / column_cost(job);
    if (wanted < (double)width) width = wanted > (double)least ? (int64_t)wanted : least;
    width = width > kernels->nr ? width / kernels->nr * kernels->nr : kernels->nr;
    job->n_parts = rm_ceil_divide(job->product->b->n, width);
    *tasks =
        (rm_job){.n_tasks = job->n_parts,
                 .task_cost = column_cost(job) * (double)rm_least(width, job->product->b->n)};
}

static void run_tasks(void *user, int thread)
{
    product_batch *batch = user;
    const rm_tile_kernels *kernels = batch->workspace.kernels;
    rm_own own = rm_workspace_own(&batch->workspace, thread);
    int job;
    int64_t task;
    if (kernels->begin) kernels->begin();
    while (rm_work_next(&batch->work, thread, &job, &task))
        rm_product_block_run(batch->workspace.compute->kernels, &batch->jobs[job], task, &own);
    if (kernels->end) kernels->end();
}

static void run_batch(product_batch *batch)
{
    int n_threads = batch->workspace.compute->n_threads;
    double most =
        n_threads > 1 ? batch_cost(batch) / (n_threads * TASKS_A_THREAD) : batch_cost(batch);
    if (batch->work.n_jobs == 0) return;
    int64_t least = least_columns(batch);
    for (int j = 0; j < batch->work.n_jobs; j++)
        cut_columns(batch->workspace.kernels, most, least, &batch->jobs[j],
                    &batch->work.jobs[j]);
    rm_work_cut(&batch->work);
    if (batch->work.n_jobs == 1 && batch->jobs[0].n_parts == 1)
        run_tasks(batch, 0);
    else
        rm_team_run(batch->workspace.compute, run_tasks, batch);
    batch->work.n_jobs = 0;
    batch->workspace.shared.used = batch->empty;
}

/* --- collecting a batch --- */

static int count_strips(const rm_product *product)
{
    return rm_packed_n_blocks(product->b) * (1 + product->n_more);
}

/* Rows [first, first + n) of one term of the sum, within one block of the inner dimension. */
static rm_operand strip_of(const rm_tile_kernels *kernels, const rm_product *product, int block,
                           int term, int64_t first, int64_t n)
{
    rm_product_term from = rm_product_term_of(product, term);
    int64_t begin = rm_packed_bound(from.b, block);
    return (rm_operand){.kind = RM_OPERAND_A_LINES,
                        .kernels = kernels,
                        .data = from.a + begin,
                        .stride = from.a_stride,
                        .rows = from.a_rows,
                        .first = first,
                        .width = n,
                        .depth = rm_packed_bound(from.b, block + 1) - begin};
}

/* What the strips of n rows take of the shared part: a list of them, and if they are shared
 * their packed forms. */
static int64_t strips_bytes(const rm_tile_kernels *kernels, const rm_product *product,
                            int64_t n, bool is_shared)
{
    int n_strips = count_strips(product), n_terms = 1 + product->n_more;
    int64_t bytes = n_strips * (int64_t)sizeof(rm_operand) + RM_ARENA_ALIGN;
    for (int i = 0; i < n_strips && is_shared; i++) {
        rm_operand strip = strip_of(kernels, product, i / n_terms, i % n_terms, 0, n);
        bytes += rm_operand_bytes(&strip) + RM_ARENA_ALIGN;
    }
    return bytes;
}

/* Rows of a block: as the cache wants them, or fewer where only so many have room when packed.
 * A depth for which that would be too few is packed slice by slice. */
static int64_t most_rows(const product_batch *batch, const rm_product *product, bool *is_shared)
{
    const rm_tile_kernels *kernels = batch->workspace.kernels;
    int64_t empty = strips_bytes(kernels, product, 0, true);
    int64_t row_bytes =
        (strips_bytes(kernels, product, kernels->mr, true) - empty) / kernels->mr + 1;
    int64_t room =
        ((int64_t)(batch->workspace.shared.reserved - batch->empty) - empty) / row_bytes;
    *is_shared = room >= kernels->block_rows / 2 && room >= kernels->mr;
    if (!*is_shared || room > kernels->block_rows) room = kernels->block_rows;
    return room > kernels->mr ? room / kernels->mr * kernels->mr : kernels->mr;
}

static void add_rows(product_batch *batch, const rm_product *product, int64_t first, int64_t n,
                     bool is_shared)
{
    const rm_tile_kernels *kernels = batch->workspace.kernels;
    rm_arena *shared = &batch->workspace.shared;
    int n_strips = count_strips(product), n_terms = 1 + product->n_more;
    int64_t bytes = strips_bytes(kernels, product, n, is_shared);
    if (batch->work.n_jobs == MOST_JOBS || bytes > rm_workspace_left(&batch->workspace))
        run_batch(batch);
    rm_operand *strips = RM_TAKE(shared, n_strips, rm_operand);
    for (int i = 0; i < n_strips; i++) {
        rm_operand strip = strip_of(kernels, product, i / n_terms, i % n_terms, first, n);
        if (is_shared) strip.packed = rm_arena_take(shared, rm_operand_bytes(&strip), 1);
        strips[i] = strip;
    }
    batch->jobs[batch->work.n_jobs++] =
        (rm_product_job){.product = product, .first_row = first, .n_rows = n, .strips = strips};
}

static void add_product(product_batch *batch, const rm_product *product)
{
    bool is_shared;
    if (product->n_rows == 0 || product->b->n == 0) return;
    int64_t most = most_rows(batch, product, &is_shared);
    int64_t parts = rm_ceil_divide(product->n_rows, most), mr = batch->workspace.kernels->mr;
    for (int64_t i = 0; i < parts; i++) {
        int64_t first = rm_part_start(product->n_rows, mr, parts, i);
        int64_t end = rm_part_start(product->n_rows, mr, parts, i + 1);
        add_rows(batch, product, first, end - first, is_shared);
    }
}

void rm_product_grouped(const rm_compute *compute, const rm_product *groups, int n_groups)
{
    product_batch batch = {0};
    for (int g = 0; g < n_groups; g++) {
        const rm_tile_kernels *kernels = rm_tiles_of(compute, groups[g].b->precision);
        if (kernels != batch.workspace.kernels) {
            if (g) run_batch(&batch);
            start_batch(&batch, compute, kernels);
        }
        add_product(&batch, &groups[g]);
    }
    if (n_groups) run_batch(&batch);
}
