/* SPDX-License-Identifier: MIT */
#include "format/tensor_names.h"

#include <stdio.h>
#include <string.h>

typedef struct name_row {
    const char *gguf;  /* behind "blk.#." if the role has a layer */
    const char *fused; /* behind "model.layers.#."; NULL: none */
    int fused_index, fused_count;
    bool turned;
} name_row;

#define GATE_UP "mlp.experts.gate_up_proj"

static const name_row rows[RM_N_ROLES] = {
    [RM_ROLE_EMBEDDING] = {"token_embd.weight", NULL, 0, 1, false},
    [RM_ROLE_ATTENTION_NORM] = {"attn_norm.weight", NULL, 0, 1, false},
    [RM_ROLE_QUERY] = {"attn_q.weight", NULL, 0, 1, true},
    [RM_ROLE_KEY] = {"attn_k.weight", NULL, 0, 1, true},
    [RM_ROLE_VALUE] = {"attn_v.weight", NULL, 0, 1, false},
    [RM_ROLE_QUERY_BIAS] = {"attn_q.bias", NULL, 0, 1, true},
    [RM_ROLE_KEY_BIAS] = {"attn_k.bias", NULL, 0, 1, true},
    [RM_ROLE_VALUE_BIAS] = {"attn_v.bias", NULL, 0, 1, false},
    [RM_ROLE_QUERY_NORM] = {"attn_q_norm.weight", NULL, 0, 1, false},
    [RM_ROLE_KEY_NORM] = {"attn_k_norm.weight", NULL, 0, 1, false},
    [RM_ROLE_OUTPUT] = {"attn_output.weight", NULL, 0, 1, false},
    [RM_ROLE_FFN_NORM] = {"ffn_norm.weight", NULL, 0, 1, false},
    [RM_ROLE_GATE] = {"ffn_gate.weight", NULL, 0, 1, false},
    [RM_ROLE_UP] = {"ffn_up.weight", NULL, 0, 1, false},
    [RM_ROLE_DOWN] = {"ffn_down.weight", NULL, 0, 1, false},
    /* Mixtral's files have it under this name if their experts are fused. */
    [RM_ROLE_ROUTER] = {"ffn_gate_inp.weight", "mlp.gate.weight", 0, 1, false},
    [RM_ROLE_EXPERT_GATE] = {"ffn_gate_exps.weight", GATE_UP, 0, 2, false},
    [RM_ROLE_EXPERT_UP] = {"ffn_up_exps.weight", GATE_UP, 1, 2, false},
    [RM_ROLE_EXPERT_DOWN] = {"ffn_down_exps.weight", "mlp.experts.down_proj", 0, 1, false},
    [RM_ROLE_SHARED_GATE] = {"ffn_gate_shexp.weight", NULL, 0, 1, false},
    [RM_ROLE_SHARED_UP] = {"ffn_up_shexp.weight", NULL, 0, 1, false},
    [RM_ROLE_SHARED_DOWN] = {"ffn_down_shexp.weight", NULL, 0, 1, false},
    [RM_ROLE_SHARED_SWITCH] = {"ffn_gate_inp_shexp.weight", NULL, 0, 1, false},
    [RM_ROLE_FINAL_NORM] = {"output_norm.weight", NULL, 0, 1, false},
    [RM_ROLE_HEAD] = {"output.weight", NULL, 0, 1, false},
};

void rm_tensor_names_of(rm_role role, int layer, rm_tensor_names *names)
{
    const name_row *row = &rows[role];
    *names = (rm_tensor_names){.fused_index = row->fused_index,
                               .fused_count = row->fused_count,
                               .turned = row->turned};
    if (rm_role_has_layer(role))
        snprintf(names->gguf, sizeof names->gguf, "blk.%d.%s", layer, row->gguf);
    else
        snprintf(names->gguf, sizeof names->gguf, "%s", row->gguf);
    if (row->fused)
        snprintf(names->fused, sizeof names->fused, "model.layers.%d.%s", layer, row->fused);
}
