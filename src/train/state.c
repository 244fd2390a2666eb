/* SPDX-License-Identifier: MIT */
#include "train/state.h"

#include <stdio.h>
#include <stdlib.h>

#include "format/router_biases.h"

static void print_recipe(FILE *out, const char *key, const rm_recipe *recipe)
{
    fprintf(out, "  \"%s\": {\n", key);
    for (int i = 0; i < recipe->n_items; i++) {
        const rm_recipe_item *item = &recipe->items[i];
        const char *quote = item->is_word ? "\"" : "";
        fprintf(out, "%s    \"%s\": %s%s%s", i ? ",\n" : "", item->name, quote, item->value,
                quote);
    }
    fprintf(out, "\n  }");
}

static void print_layout(FILE *out, const rm_state *state)
{
    fprintf(out,
            "  \"layout\": {\"pipeline\": %d, \"data\": %d, \"expert\": %d, \"tensor\": %d, "
            "\"threads\": %d},\n  \"kernel_level\": \"%s\",\n",
            state->layout.pipeline, state->layout.data, state->layout.expert,
            state->layout.tensor, state->threads, state->kernel_level);
    print_recipe(out, "layout_settings", &state->layout_settings);
    fprintf(out, ",\n");
}

static void print_counts(FILE *out, const rm_state *state)
{
    if (!state->balance_counts) return;
    fprintf(out, "  \"balance_counts\": [");
    for (int64_t i = 0; i < state->n_balance_counts; i++)
        fprintf(out, "%s%lld", i ? "," : "", (long long)state->balance_counts[i]);
    fprintf(out, "],\n");
}

static void print_biases(FILE *out, const rm_state *state, const ringmoe_model_config *config)
{
    if (!state->router_biases) return;
    fprintf(out, "  \"" RM_ROUTER_BIASES_KEY "\": ");
    rm_router_biases_print(config, state->router_biases, out);
    fprintf(out, ",\n");
}

static void print_state(FILE *out, const rm_state *state, const ringmoe_model_config *config)
{
    const rm_recipe_item *seed = rm_recipe_find(&state->recipe, "seed");
    fprintf(out,
            "{\n  \"format_version\": %d,\n  \"step\": %lld,\n  \"samples_seen\": %lld,\n"
            "  \"seed\": %s,\n",
            RM_STATE_VERSION, (long long)state->step, (long long)state->samples_seen,
            seed ? seed->value : "null");
    print_layout(out, state);
    fprintf(out, "  \"weights_checksum\": \"%s\",\n  \"exp_avg_checksum\": \"%s\",\n",
            state->weights_checksum, state->exp_avg_checksum);
    fprintf(out, "  \"exp_avg_sq_checksum\": \"%s\",\n", state->exp_avg_sq_checksum);
    print_biases(out, state, config);
    print_counts(out, state);
    print_recipe(out, "recipe", &state->recipe);
    fprintf(out, "\n}\n");
}

ringmoe_status rm_state_text(const rm_state *state, const ringmoe_model_config *config,
                             char **text, int64_t *size, rm_error *error)
{
    size_t length = 0;
    *text = NULL;
    FILE *out = open_memstream(text, &length);
    if (out) print_state(out, state, config);
    bool whole = out && !ferror(out);
    if (out && fclose(out) != 0) whole = false;
    *size = (int64_t)length;
    if (whole) return RINGMOE_OK;
    free(*text);
    *text = NULL;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the text of " RM_STATE_FILE);
}

void rm_state_free(rm_state *state)
{
    free(state->router_biases);
    free(state->balance_counts);
    state->router_biases = NULL;
    state->balance_counts = NULL;
}
