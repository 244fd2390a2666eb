/* SPDX-License-Identifier: MIT
 *
 * Where a model's weights come from: a Hugging Face folder, with a tensor an expert or one for
 * all experts of a layer, or a GGUF file. Whoever reads weights asks for the places of all
 * parameters and need not know more.
 */
#ifndef RM_WEIGHT_SOURCE_H
#define RM_WEIGHT_SOURCE_H

#include "model/weight_files.h"
#include "model/weight_place.h"

typedef struct rm_weight_source rm_weight_source;

/* Opens a folder or a file. FILE, FORMAT, MEMORY. */
ringmoe_status rm_weight_source_open(const char *path, rm_weight_source **source,
                                     rm_error *error);
void rm_weight_source_close(rm_weight_source **source);
const rm_weight_files *rm_weight_source_files(const rm_weight_source *source);
/* NULL if it is a folder. */
const rm_gguf *rm_weight_source_gguf(const rm_weight_source *source);

/* The place of every parameter of the table, which is `config`'s: places [n_parameters], valid
 * while the source is open, to be read by any number of threads. FORMAT, naming a tensor that
 * is missing, surplus, given twice or misshapen. */
ringmoe_status rm_weight_source_match(const rm_weight_source *source,
                                      const ringmoe_model_config *config,
                                      const rm_parameter_table *table, rm_weight_place *places,
                                      rm_error *error);

#endif
