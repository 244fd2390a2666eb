/* SPDX-License-Identifier: MIT
 *
 * What a model's files hold, as far as it shows without reading weights.
 */
#include <string.h>

#include "format/config.h"
#include "format/dtype.h"
#include "model/load.h"

static void add_tensor(const rm_tensor *tensor, ringmoe_model_files *files)
{
    const char *name = rm_dtype_name(tensor->dtype);
    int64_t bytes = rm_dtype_size(tensor->dtype, tensor->n_elements);
    int i = 0;
    while (i < files->n_types && strcmp(files->types[i].name, name) != 0) i++;
    if (i == files->n_types)
        files->types[files->n_types++] = (ringmoe_type_share){.name = name};
    files->types[i].n_tensors++;
    files->types[i].bytes += bytes;
    files->n_tensors++;
    files->bytes += bytes;
}

RINGMOE_API ringmoe_status ringmoe_model_files_describe(ringmoe_context *context,
                                                        const char *path,
                                                        ringmoe_model_files *files)
{
    ringmoe_model_config config;
    rm_opened_weights opened;
    rm_error *error = &context->error;
    memset(files, 0, sizeof *files);
    RM_TRY(rm_config_read(path, &config, error));
    ringmoe_status status = rm_weights_open(path, &config, &opened, error);
    if (status == RINGMOE_OK) {
        const rm_weight_files *stored = rm_weight_source_files(opened.source);
        files->n_files = stored->gguf ? rm_gguf_file_count(stored->gguf) : stored->n_files;
        for (int64_t i = 0; i < stored->n_tensors; i++)
            add_tensor(stored->tensors[i].tensor, files);
    }
    rm_weights_close(&opened);
    return status;
}
