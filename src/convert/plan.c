/* SPDX-License-Identifier: MIT
 *
 * Which tensors a converted model has, in the order of its parameters.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/conversion.h"
#include "format/dtype.h"
#include "format/tensor_names.h"

/* The parameter that has another role in the same layer, of the same expert. */
static int find_role(const rm_parameter_table *table, int from, rm_role role)
{
    const rm_parameter *start = &table->parameters[from];
    for (int i = from; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        if (parameter->role == role && parameter->layer == start->layer &&
            parameter->expert == start->expert)
            return i;
    }
    return from;
}

/* From an expert's parameter to the next expert's. */
static int expert_stride(const rm_parameter_table *table, int from)
{
    for (int i = from + 1; i < table->n_parameters; i++)
        if (table->parameters[i].role == table->parameters[from].role) return i - from;
    return 0;
}

/* Norms, biases and what decides about experts: llama.cpp wants these in fp32, and where no
 * type was asked for none of them is rounded. */
static rm_dtype type_of_small(const rm_conversion *conversion, int index)
{
    const rm_origin *origin = &conversion->origins[index];
    if (conversion->settings->format == RINGMOE_MODEL_GGUF) return RM_DTYPE_F32;
    if (conversion->settings->type != RINGMOE_WEIGHTS_AUTO || !origin->parameter)
        return conversion->type;
    return origin->place->tensor->dtype == RM_DTYPE_BF16 ? RM_DTYPE_BF16 : RM_DTYPE_F32;
}

static rm_dtype type_of(const rm_conversion *conversion, int index)
{
    const rm_parameter *parameter = &conversion->table.parameters[index];
    if (parameter->n_dims == 1 || parameter->role == RM_ROLE_ROUTER ||
        parameter->role == RM_ROLE_SHARED_SWITCH)
        return type_of_small(conversion, index);
    bool fits = parameter->shape[1] % rm_dtype_block(conversion->type) == 0;
    return fits ? conversion->type : RM_DTYPE_BF16;
}

static void set_experts(const rm_conversion *conversion, rm_converted_tensor *tensor,
                        const char *name)
{
    const rm_parameter *parameter = &conversion->table.parameters[tensor->parameters[0]];
    rm_tensor_entry *entry = &tensor->entry;
    tensor->n_experts = conversion->to.num_local_experts;
    tensor->stride = expert_stride(&conversion->table, tensor->parameters[0]);
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->n_dims = 3;
    entry->shape[0] = tensor->n_experts;
    entry->shape[1] = tensor->n_parameters * parameter->shape[0];
    entry->shape[2] = parameter->shape[1];
}

static void set_one(rm_converted_tensor *tensor, const rm_parameter *parameter,
                    const char *name)
{
    rm_tensor_entry *entry = &tensor->entry;
    snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->n_dims = parameter->n_dims;
    entry->shape[0] = parameter->shape[0];
    entry->shape[1] = parameter->shape[1];
}

static void plan_gguf(const rm_conversion *conversion, const rm_parameter *parameter,
                      const rm_tensor_names *names, rm_converted_tensor *tensor)
{
    int family = conversion->to.family;
    if (parameter->expert >= 0) {
        set_experts(conversion, tensor, names->gguf);
        return;
    }
    set_one(tensor, parameter, names->gguf);
    if (parameter->role == RM_ROLE_SHARED_SWITCH) {
        tensor->entry.n_dims = 1;
        tensor->entry.shape[0] = parameter->shape[1];
    }
    if (names->turned && (family == RINGMOE_FAMILY_LLAMA || family == RINGMOE_FAMILY_MIXTRAL))
        tensor->head_rows = conversion->to.head_dim;
}

static void plan_folder(const rm_conversion *conversion, const rm_parameter *parameter,
                        const rm_tensor_names *names, rm_converted_tensor *tensor)
{
    bool is_fused = conversion->settings->fused && names->fused[0];
    if (!is_fused || parameter->expert < 0) {
        set_one(tensor, parameter, is_fused ? names->fused : parameter->name);
        return;
    }
    tensor->n_parameters = names->fused_count;
    if (names->fused_count == 2)
        tensor->parameters[1] =
            find_role(&conversion->table, tensor->parameters[0], RM_ROLE_EXPERT_UP);
    set_experts(conversion, tensor, names->fused);
}

/* Whether another parameter's tensor has this one as well. */
static bool is_covered(const rm_conversion *conversion, const rm_parameter *parameter,
                       const rm_tensor_names *names)
{
    bool has_all =
        conversion->settings->fused || conversion->settings->format == RINGMOE_MODEL_GGUF;
    if (parameter->tied) return true;
    if (parameter->expert < 0 || !has_all) return false;
    return parameter->expert > 0 || (conversion->settings->fused && names->fused_index > 0);
}

ringmoe_status rm_conversion_plan(rm_conversion *conversion)
{
    const rm_parameter_table *table = &conversion->table;
    conversion->tensors = calloc((size_t)table->n_parameters + 1, sizeof *conversion->tensors);
    if (!conversion->tensors)
        return rm_fail(conversion->error, RINGMOE_ERROR_MEMORY, "no memory for %d tensors",
                       table->n_parameters);
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        rm_tensor_names names;
        rm_tensor_names_of(parameter->role, parameter->layer, &names);
        if (is_covered(conversion, parameter, &names)) continue;
        rm_converted_tensor *tensor = &conversion->tensors[conversion->n_tensors++];
        *tensor = (rm_converted_tensor){.parameters = {i}, .n_parameters = 1, .n_experts = 1};
        if (conversion->settings->format == RINGMOE_MODEL_GGUF)
            plan_gguf(conversion, parameter, &names, tensor);
        else
            plan_folder(conversion, parameter, &names, tensor);
        tensor->entry.dtype = type_of(conversion, i);
        tensor->bytes = tensor->n_experts * tensor->n_parameters *
                        rm_dtype_size(tensor->entry.dtype, parameter->n_elements);
        conversion->total += tensor->bytes;
    }
    return RINGMOE_OK;
}
