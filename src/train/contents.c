/* SPDX-License-Identifier: MIT */
#include "train/contents.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "model/verify.h"

ringmoe_status rm_contents_init(rm_contents *contents, const char *folder,
                                const rm_file_manifest *manifest, int most, rm_error *error)
{
    *contents = (rm_contents){.folder = folder, .manifest = manifest, .room = most};
    contents->targets = calloc((size_t)most + 1, sizeof *contents->targets);
    if (contents->targets) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for a list of %d tensors",
                   folder, most);
}

void rm_contents_free(rm_contents *contents)
{
    free(contents->targets);
    *contents = (rm_contents){0};
}

/* --- what is wanted ------------------------------------------------------------------------
 */

ringmoe_status rm_contents_want(rm_contents *contents, const char *file, int64_t begin,
                                const rm_parameter *parameter, const rm_parameter_part *part,
                                rm_share share, rm_real *values, rm_error *error)
{
    const int64_t size = sizeof *values, width = parameter->shape[1];
    const rm_listed_file *listed = rm_file_manifest_find(contents->manifest, file);
    if (!listed)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: " RM_FILE_MANIFEST_NAME " does not list %s", contents->folder,
                       file);
    if (share.n == 0) return RINGMOE_OK;
    rm_target target = {.file = (int)(listed - contents->manifest->files),
                        .begin = begin,
                        .end = begin + parameter->n_elements * size,
                        .width = width * size,
                        .first_row = part->first_row,
                        .n_rows = part->n_rows,
                        .first_column = part->first_column * size,
                        .n_columns = part->n_columns * size,
                        .first = share.first * size,
                        .n = share.n * size,
                        .values = (char *)values};
    if (part->n_columns == width) {
        /* Whole rows lie side by side: one long row. */
        target.width = target.end - begin;
        target.first_column = part->first_row * width * size;
        target.n_columns = part->n_elements * size;
        target.first_row = 0;
        target.n_rows = 1;
    }
    contents->targets[contents->n_targets++] = target;
    return RINGMOE_OK;
}

static int compare_targets(const void *a, const void *b)
{
    const rm_target *left = a, *right = b;
    if (left->file != right->file) return left->file - right->file;
    return (left->begin > right->begin) - (left->begin < right->begin);
}

/* --- where bytes go --------------------------------------------------------------------------
 */

static char *skip(int64_t *n, int64_t bytes)
{
    *n = bytes;
    return NULL;
}

/* Byte `at` of the part, which has `left` bytes that lie side by side. */
static char *place_in_part(const rm_target *target, int64_t at, int64_t left, int64_t *n)
{
    int64_t end = target->first + target->n;
    if (at < target->first)
        return skip(n, left < target->first - at ? left : target->first - at);
    if (at >= end) return skip(n, left);
    *n = left < end - at ? left : end - at;
    return target->values + (at - target->first);
}

/* Byte `at` of the tensor. */
static char *place_in_tensor(const rm_target *target, int64_t at, int64_t *n)
{
    int64_t row = at / target->width, column = at % target->width;
    int64_t end_column = target->first_column + target->n_columns;
    if (row < target->first_row) return skip(n, target->first_row * target->width - at);
    if (row >= target->first_row + target->n_rows)
        return skip(n, target->end - target->begin - at);
    if (column < target->first_column) return skip(n, target->first_column - column);
    if (column >= end_column) return skip(n, target->width - column);
    int64_t in_part = (row - target->first_row) * target->n_columns + column;
    return place_in_part(target, in_part - target->first_column, end_column - column, n);
}

/* Targets that begin at or before a byte of a file, those of files before it too. */
static int count_before(const rm_contents *contents, int file, int64_t at)
{
    const rm_target key = {.file = file, .begin = at};
    int low = 0, high = contents->n_targets;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (compare_targets(&contents->targets[middle], &key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static char *place(const void *argument, int file, int64_t at, int64_t *n)
{
    const rm_contents *contents = argument;
    int next = count_before(contents, file, at);
    const rm_target *target = next > 0 ? &contents->targets[next - 1] : NULL;
    if (target && target->file == file && at < target->end)
        return place_in_tensor(target, at - target->begin, n);
    bool is_last = next == contents->n_targets || contents->targets[next].file != file;
    return skip(n, is_last ? INT64_MAX : contents->targets[next].begin - at);
}

/* --- which blocks ----------------------------------------------------------------------------
 */

/* Whether something of `bytes` bytes from `at` on is wanted. */
static bool wants(const rm_contents *contents, int file, int64_t at, int64_t bytes)
{
    for (int64_t n; bytes > 0; at += n, bytes -= n) {
        if (place(contents, file, at, &n)) return true;
        if (n > bytes) n = bytes;
    }
    return false;
}

/* is_wanted [blocks]: by this rank. */
static void mark_blocks(const rm_contents *contents, unsigned char *is_wanted)
{
    const rm_file_manifest *manifest = contents->manifest;
    int64_t index = 0;
    for (int file = 0; file < manifest->n_files; file++)
        for (int64_t i = 0; i < manifest->files[file].n_blocks; i++)
            is_wanted[index++] =
                wants(contents, file, i * manifest->block_bytes, manifest->block_bytes);
}

/* Those this rank wants, and of those that nobody wants the ones whose turn is its. */
static int64_t list_blocks(const rm_axis *world, const unsigned char *is_wanted,
                           const unsigned char *by_any, int64_t n_blocks, int64_t *list)
{
    int64_t n = 0, n_unwanted = 0;
    for (int64_t i = 0; i < n_blocks; i++) {
        bool is_own = !by_any[i] && n_unwanted++ % world->size == world->rank;
        if (is_wanted[i] || is_own) list[n++] = i;
    }
    return n;
}

/* Of n_blocks blocks each. */
typedef struct choice {
    unsigned char *is_wanted, *by_any;
    int64_t *list;
} choice;

static ringmoe_status allocate(choice *chosen, int64_t n_blocks, const char *folder,
                               rm_error *error)
{
    size_t n = (size_t)n_blocks + 1;
    chosen->is_wanted = calloc(n, 1);
    chosen->by_any = calloc(n, 1);
    chosen->list = calloc(n, sizeof *chosen->list);
    if (chosen->is_wanted && chosen->by_any && chosen->list && n_blocks < INT_MAX)
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for a list of its blocks",
                   folder);
}

/* Collective. */
static ringmoe_status read_chosen(const rm_contents *contents, ringmoe_context *context,
                                  choice *chosen)
{
    const rm_axis *world = &context->world;
    const rm_block_sink sink = {place, contents};
    int64_t n_blocks = rm_file_manifest_blocks(contents->manifest);
    RM_TRY(rm_agree(world, allocate(chosen, n_blocks, contents->folder, &context->error),
                    &context->error));
    mark_blocks(contents, chosen->is_wanted);
    memcpy(chosen->by_any, chosen->is_wanted, (size_t)n_blocks);
    RM_TRY(rm_allreduce(world, chosen->by_any, (int)n_blocks, MPI_UNSIGNED_CHAR, MPI_MAX,
                        &context->error));
    rm_block_share share = {.n_threads = context->compute.n_threads,
                            .list = chosen->list,
                            .n_listed = list_blocks(world, chosen->is_wanted, chosen->by_any,
                                                    n_blocks, chosen->list),
                            .sink = &sink};
    return rm_checkpoint_verify_shares(context, contents->folder, contents->manifest, share,
                                       NULL);
}

ringmoe_status rm_contents_read(rm_contents *contents, ringmoe_context *context)
{
    choice chosen = {0};
    qsort(contents->targets, (size_t)contents->n_targets, sizeof *contents->targets,
          compare_targets);
    ringmoe_status status = read_chosen(contents, context, &chosen);
    free(chosen.is_wanted);
    free(chosen.by_any);
    free(chosen.list);
    return status;
}
