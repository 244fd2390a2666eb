/* SPDX-License-Identifier: MIT
 *
 * The end of a save. The writers' checksums come to rank 0, which writes the index, the state
 * and the manifest, and gives the folder its name.
 *
 *   findings  | bytes of each rank's files | checksums of tensors: weights | exp_avg |
 * exp_avg_sq
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "format/config.h"
#include "format/manifest.h"
#include "text/tokenizer.h"
#include "train/save.h"

enum { HASHES_TAG = 2002, N_KINDS = 3 };

/* What the ranks know of their files together, alike on all of them. */
typedef struct findings {
    uint64_t *all;     /* n_all numbers: */
    uint64_t *bytes;   /* [ranks][RM_OUTPUT_FILES] */
    uint64_t *tensors; /* [N_KINDS][n_parameters] */
    int64_t n_all;
    uint64_t *hashes; /* on rank 0: of the blocks of the largest file */
    rm_file_manifest manifest;
} findings;

static void free_findings(findings *found)
{
    free(found->all);
    free(found->hashes);
    rm_file_manifest_free(&found->manifest);
}

static ringmoe_status allocate(findings *found, const rm_save *save, rm_error *error)
{
    int64_t n_bytes = (int64_t)save->writers.n_ranks * RM_OUTPUT_FILES;
    found->n_all = n_bytes + (int64_t)N_KINDS * save->writers.n_parameters;
    found->all = calloc((size_t)found->n_all, sizeof *found->all);
    if (!found->all || found->n_all > INT_MAX)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld checksums",
                       (long long)found->n_all);
    found->bytes = found->all;
    found->tensors = found->all + n_bytes;
    return RINGMOE_OK;
}

/* Each number is one rank's; the others have 0. Collective. */
static ringmoe_status share_findings(const rm_save *save, const rm_axis *world, findings *found,
                                     rm_error *error)
{
    const rm_output *output = &save->output;
    int n_parameters = save->writers.n_parameters, own = 0;
    for (int file = 0; file < output->n_files; file++)
        found->bytes[world->rank * RM_OUTPUT_FILES + file] =
            (uint64_t)output->files[file].bytes;
    for (int i = 0; i < n_parameters; i++) {
        if (save->writers.writer[i] != world->rank) continue;
        for (int kind = 0; kind < N_KINDS; kind++)
            found->tensors[kind * n_parameters + i] = rm_output_tensor_hash(output, own, kind);
        own++;
    }
    return rm_allreduce(world, found->all, (int)found->n_all, MPI_UINT64_T, MPI_BOR, error);
}

/* Of all tensors of a kind, in the model's order; moves them together. */
static void combine(const rm_save *save, uint64_t *tensors, char hex[17])
{
    size_t n = 0;
    for (int i = 0; i < save->writers.n_parameters; i++)
        if (save->writers.writer[i] >= 0) tensors[n++] = tensors[i];
    snprintf(hex, 17, "%016llx", (unsigned long long)XXH3_64bits(tensors, n * sizeof *tensors));
}

static void combine_all(rm_save *save, findings *found)
{
    uint64_t *tensors = found->tensors;
    int n = save->writers.n_parameters;
    combine(save, tensors, save->state.weights_checksum);
    combine(save, tensors + n, save->state.exp_avg_checksum);
    combine(save, tensors + 2 * (int64_t)n, save->state.exp_avg_sq_checksum);
}

/* On rank 0: room for the hashes of any file. */
static ringmoe_status make_room(const rm_save *save, findings *found, rm_error *error)
{
    uint64_t largest = 0;
    for (int i = 0; i < save->writers.n_ranks * RM_OUTPUT_FILES; i++)
        if (found->bytes[i] > largest) largest = found->bytes[i];
    int64_t n = rm_block_count((int64_t)largest, RM_BLOCK_BYTES);
    if (n <= INT_MAX) found->hashes = calloc((size_t)n + 1, sizeof *found->hashes);
    if (found->hashes) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld checksums", (long long)n);
}

static ringmoe_status send_hashes(const rm_save *save, const rm_axis *world, rm_error *error)
{
    static const char what[] = "sending the checksums of a file";
    for (int file = 0; file < save->output.n_files; file++) {
        const rm_block_hasher *blocks = rm_stream_file_hashes(save->output.stream, file);
        MPI_Request request = MPI_REQUEST_NULL;
        int code = MPI_Isend(blocks->hashes, (int)blocks->n_hashes, MPI_UINT64_T, 0, HASHES_TAG,
                             world->comm, &request);
        RM_TRY(rm_mpi_check(code, what, error));
        RM_TRY(rm_wait(world, 0, &request, what, error));
    }
    return RINGMOE_OK;
}

/* On rank 0: a file of rank `from` into the manifest; *kept is the first failure of that. */
static ringmoe_status receive_file(const rm_save *save, const rm_axis *world, findings *found,
                                   int from, int file, ringmoe_status *kept, rm_error *error)
{
    static const char what[] = "receiving the checksums of a file";
    int64_t bytes = (int64_t)found->bytes[from * RM_OUTPUT_FILES + file];
    int64_t n = rm_block_count(bytes, RM_BLOCK_BYTES);
    const uint64_t *hashes = found->hashes;
    char name[RM_FILE_NAME_BYTES];
    if (from == world->rank) {
        hashes = rm_stream_file_hashes(save->output.stream, file)->hashes;
    } else {
        MPI_Request request = MPI_REQUEST_NULL;
        int code = MPI_Irecv(found->hashes, (int)n, MPI_UINT64_T, from, HASHES_TAG, world->comm,
                             &request);
        RM_TRY(rm_mpi_check(code, what, error));
        RM_TRY(rm_wait(world, from, &request, what, error));
    }
    rm_tensor_file_name(rm_output_kinds[file], save->writers.file[from], save->writers.n_files,
                        name);
    if (*kept == RINGMOE_OK)
        *kept = rm_file_manifest_add(&found->manifest, name, bytes, hashes, n, error);
    return RINGMOE_OK;
}

/* The manifest gets the writers' files. Rank 0 receives all of them, whatever fails. */
static ringmoe_status gather_files(const rm_save *save, const rm_axis *world, findings *found,
                                   rm_error *error)
{
    ringmoe_status kept = RINGMOE_OK;
    if (world->rank != 0) return send_hashes(save, world, error);
    for (int file = 0; file < RM_OUTPUT_FILES; file++)
        for (int rank = 0; rank < save->writers.n_ranks; rank++)
            if (save->writers.file[rank] >= 0)
                RM_TRY(receive_file(save, world, found, rank, file, &kept, error));
    return kept;
}

/* --- the small files -----------------------------------------------------------------------
 */

/* Writes a file of the temporary folder and lists it; the last one, the manifest, is not listed
 * and makes the names of all durable. */
static ringmoe_status write_listed(const rm_save *save, const char *name, const char *text,
                                   int64_t size, rm_file_manifest *manifest, rm_error *error)
{
    char *path = rm_path_join(save->names.temporary, name);
    if (!path) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its path", name);
    ringmoe_status status = manifest ? rm_file_write_early(path, text, size, error)
                                     : rm_file_write_whole(path, text, size, error);
    free(path);
    if (status == RINGMOE_OK && manifest)
        status = rm_file_manifest_add_content(manifest, name, text, size, error);
    return status;
}

static ringmoe_status write_index(const rm_save *save, const rm_parameter_table *table,
                                  rm_file_manifest *manifest, rm_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out) rm_tensor_index_print(out, table, &save->writers);
    bool whole = out && !ferror(out);
    if (out && fclose(out) != 0) whole = false;
    ringmoe_status status;
    if (whole)
        status = write_listed(save, RM_INDEX_FILE, text, (int64_t)size, manifest, error);
    else
        status =
            rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the text of " RM_INDEX_FILE);
    free(text);
    return status;
}

static ringmoe_status write_state(const rm_save *save, const ringmoe_model_config *config,
                                  rm_file_manifest *manifest, rm_error *error)
{
    char *text;
    int64_t size;
    RM_TRY(rm_state_text(&save->state, config, &text, &size, error));
    ringmoe_status status = write_listed(save, RM_STATE_FILE, text, size, manifest, error);
    free(text);
    return status;
}

static ringmoe_status write_config(const rm_save *save, const ringmoe_model_config *config,
                                   rm_file_manifest *manifest, rm_error *error)
{
    char *text;
    int64_t size;
    RM_TRY(rm_config_text(config, &text, &size, error));
    ringmoe_status status = write_listed(save, RM_CONFIG_FILE, text, size, manifest, error);
    free(text);
    return status;
}

static ringmoe_status write_tokenizer(const rm_save *save, rm_file_manifest *manifest,
                                      rm_error *error)
{
    if (!save->tokenizer) return RINGMOE_OK;
    RM_TRY(rm_tokenizer_fill_files(save->tokenizer, error));
    for (int i = 0; i < RM_TOKENIZER_FILES; i++) {
        const rm_tokenizer_file *file = &save->tokenizer->files[i];
        if (file->content)
            RM_TRY(write_listed(save, rm_tokenizer_file_names[i], file->content, file->bytes,
                                manifest, error));
    }
    return RINGMOE_OK;
}

/* A file that someone took away or changed under the save is this save's failure; nothing that
 * was read is damaged. */
static ringmoe_status check_still_there(const rm_save *save, const rm_file_manifest *manifest,
                                        rm_error *error)
{
    rm_error why = {""};
    ringmoe_status status = rm_file_manifest_check_sizes(manifest, save->names.temporary, &why);
    if (status == RINGMOE_OK) return RINGMOE_OK;
    if (status != RINGMOE_ERROR_FORMAT) return rm_fail(error, status, "%s", why.text);
    return rm_fail(error, RINGMOE_ERROR_FILE, "%s: someone else changed it during the save",
                   why.text);
}

/* The manifest is the last; with its name the folder itself comes to the disk. */
static ringmoe_status write_manifest(const rm_save *save, const rm_file_manifest *manifest,
                                     int64_t *size, rm_error *error)
{
    char *text;
    RM_TRY(check_still_there(save, manifest, error));
    RM_TRY(rm_file_manifest_text(manifest, &text, size, error));
    ringmoe_status status = write_listed(save, RM_FILE_MANIFEST_NAME, text, *size, NULL, error);
    free(text);
    return status;
}

/* On rank 0: what is still missing, and the name. */
static ringmoe_status complete(const rm_save *save, const rm_parameter_table *table,
                               const ringmoe_model_config *config, rm_file_manifest *manifest,
                               int64_t *bytes, rm_error *error)
{
    int64_t manifest_bytes;
    RM_TRY(write_config(save, config, manifest, error));
    RM_TRY(write_index(save, table, manifest, error));
    RM_TRY(write_state(save, config, manifest, error));
    RM_TRY(write_tokenizer(save, manifest, error));
    RM_TRY(write_manifest(save, manifest, &manifest_bytes, error));
    *bytes = rm_file_manifest_bytes(manifest) + manifest_bytes;
    return rm_folder_publish(&save->names, error);
}

/* --- together ------------------------------------------------------------------------------
 */

static ringmoe_status publish(rm_save *save, const rm_axis *world, findings *found,
                              const rm_parameter_table *table,
                              const ringmoe_model_config *config, int64_t *bytes,
                              rm_error *error)
{
    RM_TRY(rm_agree(world, allocate(found, save, error), error));
    RM_TRY(share_findings(save, world, found, error));
    RM_TRY(
        rm_agree(world, world->rank == 0 ? make_room(save, found, error) : RINGMOE_OK, error));
    RM_TRY(rm_agree(world, gather_files(save, world, found, error), error));
    combine_all(save, found);
    ringmoe_status status = RINGMOE_OK;
    if (world->rank == 0)
        status = complete(save, table, config, &found->manifest, bytes, error);
    RM_TRY(rm_agree(world, status, error));
    return rm_broadcast(world, bytes, 1, MPI_INT64_T, 0, error);
}

ringmoe_status rm_save_publish(rm_save *save, const ringmoe_mesh *mesh,
                               const rm_parameter_table *table,
                               const ringmoe_model_config *config, int64_t *bytes)
{
    findings found = {0};
    *bytes = 0;
    ringmoe_status status = publish(save, &mesh->context->world, &found, table, config, bytes,
                                    &mesh->context->error);
    free_findings(&found);
    return status;
}
