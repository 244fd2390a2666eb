#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the GGUF files that tests/unit/test_convert compares with, by the gguf package.

    pip install numpy safetensors gguf
    python3 tests/golden/make_gguf.py

data/gguf/<case>.gguf   the model of data/<case>, in fp32, under llama.cpp's names and in its order
data/gguf/quants.gguf   numbers x, their blocks as the package makes them (q8, q4), and what the
                        package reads out of these (q8_values, q4_values)
data/gguf/blocks.gguf   blocks of the other types, and what the package reads out of them
"""
import json
import pathlib

import gguf
import numpy as np
from safetensors.numpy import load_file

DATA = pathlib.Path(__file__).parent / "data"
OUT = DATA / "gguf"
ARCHITECTURES = {"llama": "llama", "qwen3": "qwen3", "tied": "llama"}
NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight",
    "self_attn.k_norm.weight": "attn_k_norm.weight",
    "block_sparse_moe.gate.weight": "ffn_gate_inp.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
EXPERT_PARTS = {"w1": "gate", "w3": "up", "w2": "down"}
ENDS = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight"}


def pairs_side_by_side(rows, heads):
    """Rows j and j + D/2 of each head, which rotary positions turn together, become neighbours."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, -1).swapaxes(1, 2).reshape(rows.shape)


def tensors_of(config, weights):
    heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
    for name, array in weights.items():
        if name in ENDS:
            yield ENDS[name], array
            continue
        _, _, layer, rest = name.split(".", 3)
        if ".experts." in rest:
            _, _, expert, part, _ = rest.split(".")
            if expert == "0":
                stack = [weights[name.replace(".0.w", f".{e}.w")]
                         for e in range(config["num_local_experts"])]
                yield f"blk.{layer}.ffn_{EXPERT_PARTS[part]}_exps.weight", np.stack(stack)
        elif rest in NAMES:
            yield f"blk.{layer}.{NAMES[rest]}", array
        else:
            which = rest.removeprefix("self_attn.")[0]
            if config["model_type"] != "qwen3" and which in heads:
                array = pairs_side_by_side(array, heads[which])
            yield f"blk.{layer}.attn_{which}.{rest.rsplit('.', 1)[1]}", array


def write_model(case, architecture):
    config = json.loads((DATA / case / "config.json").read_text())
    weights = load_file(DATA / case / "model.safetensors")
    writer = gguf.GGUFWriter(OUT / f"{case}.gguf", architecture)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    if config.get("head_dim"):
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    if "num_local_experts" in config:
        writer.add_expert_count(config["num_local_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
    for name, array in tensors_of(config, weights):
        writer.add_tensor(name, np.ascontiguousarray(array, dtype=np.float32))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def hard_numbers():
    random = np.random.default_rng(7)
    rows = [random.standard_normal(64) * 10.0 ** e for e in (-20, -9, -6, -3, 0, 3, 5)]
    rows += [np.zeros(64), np.tile([1.0, -1.0], 32), np.tile([-1.0, 1.0], 32)]
    rows += [np.arange(64) * 0.5, -np.arange(64) * 0.5, np.arange(64) - 31.5]  # ties in rounding
    rows += [np.eye(64)[5] * -3e5 + 0.0, np.eye(64)[40], random.integers(-8, 8, 64) / 8.0]
    return np.array(rows, dtype=np.float32)


def write_quants():
    x = hard_numbers()
    writer = gguf.GGUFWriter(OUT / "quants.gguf", "llama")
    writer.add_tensor("x", x)
    for name, kind in ("q8", gguf.GGMLQuantizationType.Q8_0), ("q4", gguf.GGMLQuantizationType.Q4_0):
        blocks = gguf.quants.quantize(x, kind)
        writer.add_tensor(name, blocks, raw_dtype=kind)
        writer.add_tensor(name + "_values", gguf.quants.dequantize(blocks, kind))
    finish(writer)


# Types that are only read, with the places of the halves in a block.
READ_ONLY = {"Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "IQ4_NL": (0,), "Q2_K": (80, 82), "Q3_K": (108,),
             "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_XS": (0,)}


def write_blocks():
    """Blocks of random bits, two rows of 512 numbers."""
    random = np.random.default_rng(11)
    writer = gguf.GGUFWriter(OUT / "blocks.gguf", "llama")
    for name, halves in READ_ONLY.items():
        kind = gguf.GGMLQuantizationType[name]
        size, n_bytes = gguf.GGML_QUANT_SIZES[kind]
        blocks = random.integers(0, 256, (2 * 512 // size, n_bytes), dtype=np.uint8)
        for at in halves:
            scales = (random.standard_normal(len(blocks)) * 10.0 ** random.integers(-6, 2, len(blocks)))
            blocks[:, at:at + 2] = scales.astype("<f2").view(np.uint8).reshape(-1, 2)
        rows = blocks.reshape(2, -1)
        writer.add_tensor(name, rows, raw_dtype=kind)
        writer.add_tensor(name + "_values", gguf.quants.dequantize(rows, kind))
    finish(writer)


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    for case, architecture in ARCHITECTURES.items():
        write_model(case, architecture)
    write_quants()
    write_blocks()
