/* SPDX-License-Identifier: MIT
 *
 * What a conversion makes of a model's parameters: the same, or, of a dense model, those of one
 * with experts (Komatsuzaki et al., "Sparse Upcycling", ICLR 2023).
 */
#include <stdlib.h>
#include <string.h>

#include "convert/conversion.h"
#include "format/config.h"
#include "format/config_fields.h"

/* Families that differ by experts alone. */
static const struct {
    ringmoe_family dense, sparse;
} twins[] = {
    {RINGMOE_FAMILY_LLAMA, RINGMOE_FAMILY_MIXTRAL},
    {RINGMOE_FAMILY_QWEN3, RINGMOE_FAMILY_QWEN3_MOE},
};
enum { N_TWINS = sizeof twins / sizeof *twins };

/* The field that config.json calls so gets the family's default. */
static void set_default(const char *key, ringmoe_model_config *config)
{
    for (int i = 0; i < rm_n_config_fields; i++) {
        rm_config_field field =
            rm_config_field_in(rm_family_of(config->family), &rm_config_fields[i]);
        if (!strcmp(rm_config_fields[i].key, key))
            rm_config_field_set(&field, config, field.fallback);
    }
}

static ringmoe_status upcycled_config(const rm_conversion *conversion,
                                      ringmoe_model_config *config)
{
    int i = 0;
    while (i < N_TWINS && (int)twins[i].dense != conversion->from.family) i++;
    if (i == N_TWINS)
        return rm_fail(
            conversion->error, RINGMOE_ERROR_ARGUMENT,
            "%s is of the family %s; dense models of llama and qwen3 can be upcycled",
            conversion->model, rm_family_of(conversion->from.family)->model_type);
    config->family = twins[i].sparse;
    config->num_local_experts = conversion->settings->upcycle_experts;
    config->num_experts_per_tok = conversion->settings->upcycle_experts_per_token;
    config->intermediate_size = config->dense_intermediate_size;
    if (config->family == RINGMOE_FAMILY_MIXTRAL) config->dense_intermediate_size = 0;
    set_default("router_aux_loss_coef", config);
    rm_config_derive(config);
    return rm_config_check(config, conversion->error);
}

/* The role of the source's parameter that becomes one of this role. */
static rm_role role_before(rm_role role)
{
    switch (role) {
    case RM_ROLE_EXPERT_GATE:
        return RM_ROLE_GATE;
    case RM_ROLE_EXPERT_UP:
        return RM_ROLE_UP;
    case RM_ROLE_EXPERT_DOWN:
        return RM_ROLE_DOWN;
    default:
        return role;
    }
}

/* The next parameter of the source from `at` on, in its order, with this role and layer. */
static int find_from(const rm_parameter_table *table, int at, rm_role role, int layer)
{
    for (int i = 0; i < table->n_parameters; i++) {
        int index = (at + i) % table->n_parameters;
        const rm_parameter *parameter = &table->parameters[index];
        if (parameter->role == role && parameter->layer == layer) return index;
    }
    return -1;
}

static void find_origins(rm_conversion *conversion)
{
    bool is_upcycled = conversion->settings->upcycle_experts > 0;
    int at = 0;
    for (int i = 0; i < conversion->table.n_parameters; i++) {
        const rm_parameter *parameter = &conversion->table.parameters[i];
        if (is_upcycled && parameter->role == RM_ROLE_ROUTER) continue;
        int found = is_upcycled ? find_from(&conversion->from_table, at,
                                            role_before(parameter->role), parameter->layer)
                                : i;
        at = found;
        conversion->origins[i] =
            (rm_origin){&conversion->from_table.parameters[found], &conversion->places[found]};
    }
}

ringmoe_status rm_conversion_aim(rm_conversion *conversion)
{
    rm_error *error = conversion->error;
    conversion->to = conversion->from;
    if (conversion->settings->upcycle_experts > 0)
        RM_TRY(upcycled_config(conversion, &conversion->to));
    RM_TRY(rm_parameter_table_create(&conversion->to, &(rm_placement){0}, &conversion->table,
                                     error));
    conversion->origins =
        calloc((size_t)conversion->table.n_parameters + 1, sizeof *conversion->origins);
    if (!conversion->origins)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %d parameters",
                       conversion->table.n_parameters);
    find_origins(conversion);
    return RINGMOE_OK;
}
