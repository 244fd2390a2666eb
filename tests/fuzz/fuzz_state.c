/* SPDX-License-Identifier: MIT
 *
 * state.json, for a model with selection biases in its routers: what is accepted is in range.
 */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "train/state.h"

/* A dense layer and two with three experts. */
static ringmoe_model_config small_config(void)
{
    ringmoe_model_config config;
    memset(&config, 0, sizeof config);
    config.num_hidden_layers = 3;
    config.num_local_experts = 3;
    config.router_bias_rate = 0.01;
    config.is_dense_layer[0] = 1;
    return config;
}

static void check_state(const rm_state *state)
{
    FUZZ_CHECK(state->step >= 0 && state->samples_seen >= 0);
    FUZZ_CHECK(strlen(state->weights_checksum) == 16);
    FUZZ_CHECK(memchr(state->kernel_level, 0, sizeof state->kernel_level));
    FUZZ_CHECK(state->recipe.n_items >= 0 && state->recipe.n_items <= RM_RECIPE_ITEMS);
    for (int i = 0; i < state->recipe.n_items; i++) {
        const rm_recipe_item *item = &state->recipe.items[i];
        FUZZ_CHECK(memchr(item->name, 0, sizeof item->name));
        FUZZ_CHECK(memchr(item->value, 0, sizeof item->value));
    }
    for (int64_t i = 0; i < state->n_balance_counts; i++)
        FUZZ_CHECK(state->balance_counts[i] >= 0);
    FUZZ_CHECK(state->n_router_biases == 9);
    for (int64_t i = 0; i < state->n_router_biases; i++) {
        FUZZ_CHECK(isfinite(state->router_biases[i]));
        FUZZ_CHECK(i >= 3 || state->router_biases[i] == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rm_error error = {""};
    rm_state state;
    ringmoe_model_config config = small_config();
    fuzz_file(RM_STATE_FILE, data, size);
    ringmoe_status status = rm_state_read(&state, scratch_folder, &config, &error);
    FUZZ_CHECK(status == RINGMOE_OK || status == RINGMOE_ERROR_ARGUMENT ||
               status == RINGMOE_ERROR_FORMAT);
    FUZZ_CHECK(status == RINGMOE_OK || error.text[0]);
    if (status == RINGMOE_OK) check_state(&state);
    rm_state_free(&state);
    return 0;
}
