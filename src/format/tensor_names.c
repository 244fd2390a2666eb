/* SPDX-License-Identifier: MIT
 *
 * A table of patterns: # stands for a number, first the layer's and then the expert's.
 */
#include "format/tensor_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct name_row {
    const char *name, *gguf;
    const char *fused; /* NULL: none */
    int fused_index, fused_count;
    bool turned;
} name_row;

#define LAYER "model.layers.#."
#define GATE_UP LAYER "mlp.experts.gate_up_proj"
#define DOWN LAYER "mlp.experts.down_proj"

/* clang-format off */
static const name_row rows[] = {
    {"model.embed_tokens.weight", "token_embd.weight", NULL, 0, 1, false},
    {"model.norm.weight", "output_norm.weight", NULL, 0, 1, false},
    {"lm_head.weight", "output.weight", NULL, 0, 1, false},
    {LAYER "input_layernorm.weight", "blk.#.attn_norm.weight", NULL, 0, 1, false},
    {LAYER "post_attention_layernorm.weight", "blk.#.ffn_norm.weight", NULL, 0, 1, false},
    {LAYER "self_attn.q_proj.weight", "blk.#.attn_q.weight", NULL, 0, 1, true},
    {LAYER "self_attn.k_proj.weight", "blk.#.attn_k.weight", NULL, 0, 1, true},
    {LAYER "self_attn.v_proj.weight", "blk.#.attn_v.weight", NULL, 0, 1, false},
    {LAYER "self_attn.o_proj.weight", "blk.#.attn_output.weight", NULL, 0, 1, false},
    {LAYER "self_attn.q_proj.bias", "blk.#.attn_q.bias", NULL, 0, 1, true},
    {LAYER "self_attn.k_proj.bias", "blk.#.attn_k.bias", NULL, 0, 1, true},
    {LAYER "self_attn.v_proj.bias", "blk.#.attn_v.bias", NULL, 0, 1, false},
    {LAYER "self_attn.q_norm.weight", "blk.#.attn_q_norm.weight", NULL, 0, 1, false},
    {LAYER "self_attn.k_norm.weight", "blk.#.attn_k_norm.weight", NULL, 0, 1, false},
    {LAYER "mlp.gate_proj.weight", "blk.#.ffn_gate.weight", NULL, 0, 1, false},
    {LAYER "mlp.up_proj.weight", "blk.#.ffn_up.weight", NULL, 0, 1, false},
    {LAYER "mlp.down_proj.weight", "blk.#.ffn_down.weight", NULL, 0, 1, false},
    {LAYER "mlp.gate.weight", "blk.#.ffn_gate_inp.weight", NULL, 0, 1, false},
    {LAYER "mlp.experts.#.gate_proj.weight", "blk.#.ffn_gate_exps.weight", GATE_UP, 0, 2, false},
    {LAYER "mlp.experts.#.up_proj.weight", "blk.#.ffn_up_exps.weight", GATE_UP, 1, 2, false},
    {LAYER "mlp.experts.#.down_proj.weight", "blk.#.ffn_down_exps.weight", DOWN, 0, 1, false},
    {LAYER "mlp.shared_expert.gate_proj.weight", "blk.#.ffn_gate_shexp.weight", NULL, 0, 1, false},
    {LAYER "mlp.shared_expert.up_proj.weight", "blk.#.ffn_up_shexp.weight", NULL, 0, 1, false},
    {LAYER "mlp.shared_expert.down_proj.weight", "blk.#.ffn_down_shexp.weight", NULL, 0, 1, false},
    {LAYER "mlp.shared_expert_gate.weight", "blk.#.ffn_gate_inp_shexp.weight", NULL, 0, 1, false},
    /* Mixtral's older names; its files of fused experts have the newer ones throughout. */
    {LAYER "block_sparse_moe.gate.weight", "blk.#.ffn_gate_inp.weight", LAYER "mlp.gate.weight", 0, 1, false},
    {LAYER "block_sparse_moe.experts.#.w1.weight", "blk.#.ffn_gate_exps.weight", GATE_UP, 0, 2, false},
    {LAYER "block_sparse_moe.experts.#.w3.weight", "blk.#.ffn_up_exps.weight", GATE_UP, 1, 2, false},
    {LAYER "block_sparse_moe.experts.#.w2.weight", "blk.#.ffn_down_exps.weight", DOWN, 0, 1, false},
};
/* clang-format on */
enum { N_ROWS = sizeof rows / sizeof *rows, MAX_DIGITS = 6 };

/* The number at *at, without sign or leading zeros, which is passed over; -1: none. */
static int take_number(const char **at)
{
    int digits = 0, number = 0;
    const char *text = *at;
    for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
        if (digits == MAX_DIGITS) return -1;
        number = 10 * number + text[digits] - '0';
    }
    if (digits == 0 || (digits > 1 && text[0] == '0')) return -1;
    *at += digits;
    return number;
}

/* Whether a name follows the pattern, with its numbers. */
static bool matches(const char *pattern, const char *name, int numbers[2])
{
    int n = 0;
    numbers[0] = numbers[1] = -1;
    for (; *pattern; pattern++) {
        if (*pattern != '#' && *pattern != *name++) return false;
        if (*pattern == '#' && (numbers[n++] = take_number(&name)) < 0) return false;
    }
    return *name == 0;
}

/* The pattern with the layer's number; both other kinds of names have no second one. */
static void fill(const char *pattern, int layer, char text[RM_TENSOR_NAME_BYTES])
{
    const char *mark = pattern ? strchr(pattern, '#') : NULL;
    if (mark)
        snprintf(text, RM_TENSOR_NAME_BYTES, "%.*s%d%s", (int)(mark - pattern), pattern, layer,
                 mark + 1);
    else
        snprintf(text, RM_TENSOR_NAME_BYTES, "%s", pattern ? pattern : "");
}

bool rm_tensor_names_of(const char *name, rm_tensor_names *names)
{
    for (int i = 0; i < N_ROWS; i++) {
        int numbers[2];
        if (!matches(rows[i].name, name, numbers)) continue;
        *names = (rm_tensor_names){.fused_index = rows[i].fused_index,
                                   .fused_count = rows[i].fused_count,
                                   .turned = rows[i].turned,
                                   .layer = numbers[0],
                                   .expert = numbers[1]};
        fill(rows[i].fused, numbers[0], names->fused);
        fill(rows[i].gguf, numbers[0], names->gguf);
        return true;
    }
    return false;
}
