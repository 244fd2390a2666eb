/* SPDX-License-Identifier: MIT
 *
 * A parameter may lie under several names; of those exactly one must be there, with the right
 * shape, and no tensor may be left over.
 */
#include "model/weight_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/dtype.h"
#include "format/gguf_rope.h"
#include "format/printable.h"
#include "format/tensor_names.h"

struct rm_weight_source {
    char *path;
    rm_weight_files files;
};

ringmoe_status rm_weight_source_open(const char *path, rm_weight_source **source,
                                     rm_error *error)
{
    *source = calloc(1, sizeof **source);
    if (*source) (*source)->path = strdup(path);
    if (!*source || !(*source)->path) {
        rm_weight_source_close(source);
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory to open it", path);
    }
    ringmoe_status status = rm_path_is_gguf(path)
                                ? rm_weight_files_open_gguf(path, &(*source)->files, error)
                                : rm_weight_files_open(path, &(*source)->files, error);
    if (status != RINGMOE_OK) rm_weight_source_close(source);
    return status;
}

void rm_weight_source_close(rm_weight_source **source)
{
    if (!source || !*source) return;
    rm_weight_files_close(&(*source)->files);
    free((*source)->path);
    free(*source);
    *source = NULL;
}

const rm_weight_files *rm_weight_source_files(const rm_weight_source *source)
{
    return &source->files;
}

const rm_gguf *rm_weight_source_gguf(const rm_weight_source *source)
{
    return source->files.gguf;
}

/* --- the ways a parameter may be stored ------------------------------------------------------
 */

typedef struct wanted_tensor {
    const char *name;
    int n_dims;
    int64_t shape[3];
    int64_t first, head_rows; /* as in rm_weight_place */
} wanted_tensor;

enum { WAYS_MOST = 2 };

/* A tensor of `count` parts of that many rows for each expert, of which it is part `index`. */
static wanted_tensor with_experts(const char *name, const rm_parameter *parameter,
                                  int n_experts, int index, int count)
{
    int64_t rows = count * parameter->shape[0];
    return (wanted_tensor){.name = name,
                           .n_dims = 3,
                           .shape = {n_experts, rows, parameter->shape[1]},
                           .first = (parameter->expert * rows + index * parameter->shape[0]) *
                                    parameter->shape[1]};
}

static wanted_tensor by_itself(const char *name, const rm_parameter *parameter)
{
    return (wanted_tensor){.name = name,
                           .n_dims = parameter->n_dims,
                           .shape = {parameter->shape[0], parameter->shape[1]}};
}

static int ways_in_gguf(const ringmoe_model_config *config, const rm_parameter *parameter,
                        const rm_tensor_names *names, wanted_tensor ways[WAYS_MOST])
{
    bool is_llama =
        config->family == RINGMOE_FAMILY_LLAMA || config->family == RINGMOE_FAMILY_MIXTRAL;
    if (parameter->expert >= 0)
        ways[0] = with_experts(names->gguf, parameter, config->num_local_experts, 0, 1);
    else
        ways[0] = by_itself(names->gguf, parameter);
    if (names->turned && is_llama) ways[0].head_rows = config->head_dim;
    if (ways[0].n_dims == 2 && ways[0].shape[0] == 1) {
        ways[0].n_dims = 1;
        ways[0].shape[0] = ways[0].shape[1];
    }
    return 1;
}

static int ways_in_folder(const ringmoe_model_config *config, const rm_parameter *parameter,
                          const rm_tensor_names *names, wanted_tensor ways[WAYS_MOST])
{
    ways[0] = by_itself(parameter->name, parameter);
    if (!names->fused[0] || !strcmp(names->fused, parameter->name)) return 1;
    if (parameter->expert >= 0)
        ways[1] = with_experts(names->fused, parameter, config->num_local_experts,
                               names->fused_index, names->fused_count);
    else
        ways[1] = by_itself(names->fused, parameter);
    return 2;
}

/* --- matching --------------------------------------------------------------------------------
 */

/* "[8, 64]" */
typedef struct shape_text {
    char text[24 * RM_TENSOR_MAX_DIMS];
} shape_text;

static shape_text describe_shape(int n_dims, const int64_t *shape)
{
    shape_text result = {"["};
    size_t used = 1, room = sizeof result.text;
    for (int i = 0; i < n_dims; i++)
        used += (size_t)snprintf(result.text + used, room - used, i ? ", %lld" : "%lld",
                                 (long long)shape[i]);
    snprintf(result.text + used, room - used, "]");
    return result;
}

static ringmoe_status check_shape(const rm_weight_source *source, const wanted_tensor *wanted,
                                  const rm_tensor *tensor, rm_error *error)
{
    bool fits = tensor->n_dims == wanted->n_dims;
    for (int i = 0; i < wanted->n_dims && fits; i++)
        fits = tensor->shape[i] == wanted->shape[i];
    if (fits) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: tensor %s has the shape %s; %s asks for %s", source->path, wanted->name,
                   describe_shape(tensor->n_dims, tensor->shape).text,
                   source->files.gguf ? "its header" : "config.json",
                   describe_shape(wanted->n_dims, wanted->shape).text);
}

/* Finds the one way in which the parameter is stored and marks its tensor. */
static ringmoe_status find_place(const rm_weight_source *source,
                                 const ringmoe_model_config *config,
                                 const rm_parameter *parameter, rm_weight_place *place,
                                 bool *is_wanted, rm_error *error)
{
    rm_tensor_names names;
    wanted_tensor ways[WAYS_MOST];
    const char *found = NULL;
    rm_tensor_names_of(parameter->role, parameter->layer, &names);
    int n = source->files.gguf ? ways_in_gguf(config, parameter, &names, ways)
                               : ways_in_folder(config, parameter, &names, ways);
    for (int i = 0; i < n; i++) {
        const rm_stored_tensor *stored = rm_weight_files_find(&source->files, ways[i].name);
        if (!stored) continue;
        if (found)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "%s: %s is there twice, as tensor %s and in tensor %s", source->path,
                           parameter->name, found, ways[i].name);
        RM_TRY(check_shape(source, &ways[i], stored->tensor, error));
        found = ways[i].name;
        is_wanted[stored - source->files.tensors] = true;
        *place = (rm_weight_place){stored->tensor, ways[i].first, ways[i].head_rows};
    }
    if (found) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: tensor %s is missing; %s asks for it",
                   source->path, ways[0].name,
                   source->files.gguf ? "its header" : "config.json");
}

static ringmoe_status compare_tensors(const rm_tensor *a, const rm_tensor *b, bool *are_same,
                                      rm_error *error)
{
    const int64_t block = (int64_t)1 << 18;
    *are_same = a->dtype == b->dtype && a->n_elements == b->n_elements;
    for (int64_t at = 0; *are_same && at < a->n_elements; at += block) {
        int64_t n = a->n_elements - at < block ? a->n_elements - at : block;
        RM_TRY(rm_tensor_fetch(a, at, n, error));
        RM_TRY(rm_tensor_fetch(b, at, n, error));
        *are_same = !memcmp(rm_tensor_at(a, at), rm_tensor_at(b, at),
                            (size_t)rm_dtype_size(a->dtype, n));
        rm_tensor_release(a, at, n);
        rm_tensor_release(b, at, n);
    }
    return RINGMOE_OK;
}

/* Some folders have a tied head all the same: then it must be the embedding. */
static ringmoe_status check_tied(const rm_weight_source *source, const rm_parameter *head,
                                 const rm_tensor *embedding, bool *is_wanted, rm_error *error)
{
    const rm_stored_tensor *stored =
        source->files.gguf ? NULL : rm_weight_files_find(&source->files, head->name);
    bool are_same;
    if (!stored) return RINGMOE_OK;
    is_wanted[stored - source->files.tensors] = true;
    RM_TRY(compare_tensors(stored->tensor, embedding, &are_same, error));
    if (are_same) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: tensor %s is not %s, though tie_word_embeddings is true; remove it, or "
                   "say false in config.json",
                   source->path, head->name, embedding->name);
}

/* The configuration says the same: scaled positions in GGUF, and the frequencies that folders
 * made before transformers 4.32 have in each layer. */
static bool is_of_config(const rm_weight_source *source, const rm_tensor *tensor)
{
    static const char frequencies[] = ".self_attn.rotary_emb.inv_freq";
    size_t length = strlen(tensor->name), n = sizeof frequencies - 1;
    if (source->files.gguf) return !strcmp(tensor->name, RM_GGUF_ROPE_TENSOR);
    return length > n && !strcmp(tensor->name + length - n, frequencies);
}

/* No tensor is left that nobody asked for. */
static ringmoe_status check_surplus(const rm_weight_source *source, const bool *is_wanted,
                                    rm_error *error)
{
    int64_t i = 0;
    while (i < source->files.n_tensors &&
           (is_wanted[i] || is_of_config(source, source->files.tensors[i].tensor)))
        i++;
    if (i == source->files.n_tensors) return RINGMOE_OK;
    const rm_stored_tensor *left = &source->files.tensors[i];
    rm_fail(error, RINGMOE_ERROR_FORMAT,
            "%s: tensor %.150s%s%.80s belongs to no parameter of %s", source->path,
            left->tensor->name, source->files.gguf ? "" : " of ",
            source->files.gguf ? "" : source->files.names[left->file],
            source->files.gguf ? "the model its header describes" : "this config.json");
    if (error) rm_text_make_printable(error->text);
    return RINGMOE_ERROR_FORMAT;
}

ringmoe_status rm_weight_source_match(const rm_weight_source *source,
                                      const ringmoe_model_config *config,
                                      const rm_parameter_table *table, rm_weight_place *places,
                                      rm_error *error)
{
    bool *is_wanted = calloc((size_t)source->files.n_tensors + 1, sizeof *is_wanted);
    if (!is_wanted)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list", source->path);
    ringmoe_status status = RINGMOE_OK;
    for (int i = 0; status == RINGMOE_OK && i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        places[i] = (rm_weight_place){0};
        status = parameter->tied
                     ? check_tied(source, parameter, places[0].tensor, is_wanted, error)
                     : find_place(source, config, parameter, &places[i], is_wanted, error);
    }
    if (status == RINGMOE_OK) status = check_surplus(source, is_wanted, error);
    free(is_wanted);
    return status;
}
