/* SPDX-License-Identifier: MIT */
#include "train/tensor_files.h"

#include <stdlib.h>

const rm_tensor_file rm_weights_file = {RM_WEIGHTS_PREFIX, 1, {""}};
const rm_tensor_file rm_optimizer_file = {
    RM_OPTIMIZER_PREFIX, 2, {RM_MOMENT1_PREFIX, RM_MOMENT2_PREFIX}};

void rm_tensor_file_name(const rm_tensor_file *kind, int number, int n_files,
                         char name[RM_FILE_NAME_BYTES])
{
    snprintf(name, RM_FILE_NAME_BYTES, "%s%05d-of-%05d.safetensors", kind->prefix, number + 1,
             n_files);
}

static rm_tensor_entry entry_of(const rm_parameter *parameter, const char *prefix)
{
    rm_tensor_entry entry = {.dtype = RM_DTYPE_REAL, .n_dims = parameter->n_dims};
    snprintf(entry.name, sizeof entry.name, "%s%s", prefix, parameter->name);
    for (int i = 0; i < parameter->n_dims; i++) entry.shape[i] = parameter->shape[i];
    return entry;
}

static int list_entries(const rm_tensor_file *kind, const rm_parameter_table *table,
                        const rm_writers *writers, int rank, rm_tensor_entry *entries)
{
    int n = 0;
    for (int i = 0; i < table->n_parameters; i++)
        for (int which = 0; which < kind->n_tensors && writers->writer[i] == rank; which++)
            entries[n++] = entry_of(&table->parameters[i], kind->prefixes[which]);
    return n;
}

ringmoe_status rm_tensor_file_header(const rm_tensor_file *kind,
                                     const rm_parameter_table *table, const rm_writers *writers,
                                     int rank, char **header, int64_t *bytes, rm_error *error)
{
    size_t most = (size_t)table->n_parameters * RM_TENSORS_MOST;
    rm_tensor_entry *entries = calloc(most + 1, sizeof *entries);
    *header = NULL;
    if (!entries)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %zu tensors",
                       most);
    int n = list_entries(kind, table, writers, rank, entries);
    ringmoe_status status = rm_safetensors_header(entries, n, header, bytes, error);
    free(entries);
    return status;
}

void rm_tensor_index_print(FILE *out, const rm_parameter_table *table,
                           const rm_writers *writers)
{
    int64_t bytes = 0;
    const char *separator = "";
    char name[RM_FILE_NAME_BYTES];
    for (int rank = 0; rank < writers->n_ranks; rank++)
        bytes += writers->load[rank] * (int64_t)sizeof(rm_real);
    fprintf(out, "{\n  \"metadata\": {\"total_size\": %lld},\n  \"weight_map\": {",
            (long long)bytes);
    for (int i = 0; i < table->n_parameters; i++) {
        if (writers->writer[i] < 0) continue;
        rm_tensor_file_name(&rm_weights_file, writers->file[writers->writer[i]],
                            writers->n_files, name);
        fprintf(out, "%s\n    \"%s\": \"%s\"", separator, table->parameters[i].name, name);
        separator = ",";
    }
    fprintf(out, "\n  }\n}\n");
}
