/* SPDX-License-Identifier: MIT
 *
 * state.json: what a run needs beside the tensors to go on as if it had not stopped, and what
 * they must be:
 *
 *   {"format_version": 3, "step": .., "samples_seen": .., "seed": .., "layout": {..},
 *    "kernel_level": "avx2", "weights_checksum": "16 hex digits", "exp_avg_checksum": ..,
 *    "exp_avg_sq_checksum": .., "router_biases": [..], "balance_counts": [..],
 *    "recipe": {.. every setting ..}}
 *
 * A checksum is XXH3-64 of the XXH3-64 of each tensor's bytes, in the model's order, so it does
 * not depend on the layout.
 */
#ifndef RM_TRAIN_STATE_H
#define RM_TRAIN_STATE_H

#include "train/recipe.h"

#define RM_STATE_FILE "state.json"
#define RM_STATE_VERSION 3

typedef struct rm_state {
    int64_t step, samples_seen;
    ringmoe_mesh_dims layout; /* this and what follows is for the record */
    int threads;
    char kernel_level[16];
    rm_recipe layout_settings; /* as rm_recipe_write_layout gives them; not read back */
    char weights_checksum[17], exp_avg_checksum[17], exp_avg_sq_checksum[17];
    rm_real *router_biases; /* [layers][experts] of the routers; NULL: the model has none */
    int64_t n_router_biases;
    int64_t *balance_counts; /* likewise, choices of the last global batch; NULL: not kept */
    int64_t n_balance_counts;
    rm_recipe recipe;
} rm_state;

/* The text, in new memory. */
ringmoe_status rm_state_text(const rm_state *state, const ringmoe_model_config *config,
                             char **text, int64_t *size, rm_error *error);
/* FILE, FORMAT, ARGUMENT (of another version) or MEMORY. Items of the recipe are those found.
 * Router biases are read for a config that has some; NULL: they are not looked at. To be freed
 * also after a failure. */
ringmoe_status rm_state_read(rm_state *state, const char *folder,
                             const ringmoe_model_config *config, rm_error *error);
void rm_state_free(rm_state *state);

#endif
