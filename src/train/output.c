/* SPDX-License-Identifier: MIT */
#include "train/output.h"

#include <stdlib.h>

/* The small ring: a few blocks, so that copying and writing go on at the same time. */
static const int64_t SMALL_BYTES = (int64_t)16 << 20;

const rm_tensor_file *const rm_output_kinds[RM_OUTPUT_FILES] = {&rm_weights_file,
                                                                &rm_optimizer_file};

static void list_sections(rm_output *output, const rm_parameter_table *table,
                          const rm_writers *writers, int rank)
{
    int n = 0;
    for (int file = 0; file < RM_OUTPUT_FILES; file++) {
        output->sections[n++] = output->header_bytes[file];
        for (int i = 0; i < table->n_parameters; i++)
            for (int which = 0;
                 which < rm_output_kinds[file]->n_tensors && writers->writer[i] == rank;
                 which++)
                output->sections[n++] =
                    table->parameters[i].n_elements * (int64_t)sizeof(rm_real);
    }
    output->n_sections = n;
}

static ringmoe_status plan_file(rm_output *output, int file, const rm_parameter_table *table,
                                const rm_writers *writers, int rank, const char *folder,
                                rm_error *error)
{
    char name[RM_FILE_NAME_BYTES];
    rm_tensor_file_name(rm_output_kinds[file], writers->file[rank], writers->n_files, name);
    RM_TRY(rm_tensor_file_header(rm_output_kinds[file], table, writers, rank,
                                 &output->headers[file], &output->header_bytes[file], error));
    int64_t data_bytes =
        writers->load[rank] * rm_output_kinds[file]->n_tensors * (int64_t)sizeof(rm_real);
    output->files[file] = (rm_stream_file){.path = rm_path_join(folder, name),
                                           .bytes = output->header_bytes[file] + data_bytes};
    if (output->files[file].path) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for a path", folder);
}

ringmoe_status rm_output_plan(rm_output *output, const rm_parameter_table *table,
                              const rm_writers *writers, int rank, const char *folder,
                              rm_error *error)
{
    *output = (rm_output){0};
    if (writers->file[rank] < 0) return RINGMOE_OK;
    output->n_files = RM_OUTPUT_FILES;
    for (int i = 0; i < table->n_parameters; i++) output->n_own += writers->writer[i] == rank;
    for (int file = 0; file < RM_OUTPUT_FILES; file++)
        RM_TRY(plan_file(output, file, table, writers, rank, folder, error));
    output->sections =
        calloc((size_t)output->n_own * 3 + RM_OUTPUT_FILES, sizeof *output->sections);
    if (!output->sections)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %d tensors",
                       output->n_own);
    list_sections(output, table, writers, rank);
    return RINGMOE_OK;
}

static int64_t round_up(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* As asked for, but no more than there is to write. */
static int64_t ring_size(const rm_output *output, int64_t buffer_bytes)
{
    int64_t wanted = buffer_bytes > 0 ? buffer_bytes : SMALL_BYTES, all = 0;
    for (int file = 0; file < output->n_files; file++)
        all += round_up(output->files[file].bytes, RM_RING_ALIGN);
    return round_up(wanted < all ? wanted : all, RM_RING_ALIGN);
}

ringmoe_status rm_output_reserve(rm_output *output, rm_arena *arena, int64_t buffer_bytes,
                                 rm_error *error)
{
    if (output->n_files == 0) return RINGMOE_OK;
    output->ring_bytes = ring_size(output, buffer_bytes);
    output->gives_way = buffer_bytes > 0;
    if ((int64_t)arena->reserved >= output->ring_bytes) return RINGMOE_OK;
    rm_arena_free(arena);
    return rm_arena_reserve(arena, (size_t)output->ring_bytes, error);
}

ringmoe_status rm_output_start(rm_output *output, const rm_arena *arena, rm_error *error)
{
    if (output->n_files == 0) return RINGMOE_OK;
    const rm_stream_plan plan = {output->files, output->n_files, output->sections,
                                 output->n_sections, output->gives_way};
    return rm_stream_open(&plan, arena->base, output->ring_bytes, &output->stream, error);
}

void rm_output_close(rm_output *output)
{
    rm_stream_close(&output->stream);
    for (int file = 0; file < RM_OUTPUT_FILES; file++) {
        free(output->files[file].path);
        free(output->headers[file]);
    }
    free(output->sections);
    *output = (rm_output){0};
}

uint64_t rm_output_tensor_hash(const rm_output *output, int own, int which)
{
    int section = which == 0 ? 1 + own : 1 + output->n_own + 1 + 2 * own + (which - 1);
    return rm_stream_section_hash(output->stream, section);
}
