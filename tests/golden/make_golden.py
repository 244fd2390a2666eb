#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the stored results that test_golden compares with: transformers' own models in PyTorch.

    pip install torch transformers safetensors
    python3 tests/golden/make_golden.py [CASE...]

For each case of CASES, data/<case>/ gets
    config.json            the model, as Hugging Face writes it
    model.safetensors      initial weights, one tensor an expert, fp32
    logits.safetensors     of the first step's first sequence, before any step
    gradients.safetensors  of the first step's loss, before clipping
    after.safetensors      the weights after the steps of AdamW
    expected.json          tokens of each step, the loss's parts, gradient norms, AdamW's settings

Everything is computed in double (but for what transformers does in fp32 in any case: norms and
the routers' softmax) and stored in fp32, so that what is compared is our error alone.
The auxiliary losses are not transformers' (which gives k at balance) but ours, 1 at balance:
    balance = E / (k T^2) * sum_e n_e * sum_t p_te        z = mean_t logsumexp(logits_t)^2
each averaged over the layers of experts; loss = cross-entropy + balance_coef * balance +
z_coef * z.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

SEQUENCES, SEQ_LEN = 3, 21  # odd on purpose
ADAMW = dict(lr=3e-3, beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, clip_norm=1.0)

COMMON = dict(
    max_position_embeddings=64, rms_norm_eps=1e-5,
    rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
    initializer_range=0.15, tie_word_embeddings=False,
    attn_implementation="eager", experts_implementation="eager",
    bos_token_id=None, eos_token_id=None, pad_token_id=None,
)
MIXTRAL = dict(
    COMMON, model_type="mixtral", vocab_size=48, hidden_size=24, intermediate_size=20,
    num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=6,
    num_local_experts=4, num_experts_per_tok=2, router_aux_loss_coef=0.02,
)
SMALL = dict(COMMON, vocab_size=32, hidden_size=16, intermediate_size=12, num_hidden_layers=2,
             num_attention_heads=4, num_key_value_heads=2)
EXPERTS = dict(SMALL, num_experts=4, num_experts_per_tok=2, router_aux_loss_coef=0.02)
CASES = {
    "untied": dict(MIXTRAL),
    "tied": dict(MIXTRAL, tie_word_embeddings=True, num_key_value_heads=1, num_experts_per_tok=3,
                 num_local_experts=6, intermediate_size=12),
    # The limit cuts some of the queries, keys and values.
    "olmoe": dict(EXPERTS, model_type="olmoe", clip_qkv=0.8),
    "qwen2_moe": dict(EXPERTS, model_type="qwen2_moe", num_hidden_layers=3,
                      decoder_sparse_step=2, moe_intermediate_size=10, intermediate_size=14,
                      shared_expert_intermediate_size=18),
    "qwen3_moe": dict(EXPERTS, model_type="qwen3_moe", head_dim=6, norm_topk_prob=True,
                      mlp_only_layers=[0], moe_intermediate_size=10, intermediate_size=14,
                      tie_word_embeddings=True),
    "llama": dict(SMALL, model_type="llama", num_key_value_heads=1),
    # Some frequencies are divided, some are not, two are in part.
    "llama3": dict(SMALL, model_type="llama", head_dim=16, bos_token_id=1, eos_token_id=[2, 3],
                   rope_parameters={"rope_theta": 100.0, "rope_type": "llama3", "factor": 8.0,
                                    "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                    "original_max_position_embeddings": 32}),
    "qwen3": dict(SMALL, model_type="qwen3", head_dim=6, tie_word_embeddings=True),
}
Z_COEF = {"tied": 0.01, "olmoe": 0.01}
N_STEPS = {"untied": 10, "tied": 10}  # others 4


def per_expert(name, tensor, is_mixtral):
    """transformers keeps the experts of a layer in one tensor; files hold one tensor an expert."""
    layer = name.rsplit(".mlp.", 1)[0]
    block = "block_sparse_moe" if is_mixtral else "mlp"
    gate, up, down = ("w1", "w3", "w2") if is_mixtral else ("gate_proj", "up_proj", "down_proj")
    if name.endswith("experts.gate_up_proj"):
        for e, both in enumerate(tensor):
            for part, values in zip((gate, up), both.chunk(2)):
                yield f"{layer}.{block}.experts.{e}.{part}.weight", values
    elif name.endswith("experts.down_proj"):
        for e, values in enumerate(tensor):
            yield f"{layer}.{block}.experts.{e}.{down}.weight", values
    else:
        yield name.replace(".mlp.gate.", f".{block}.gate."), tensor


def save_tensors(path, named, is_mixtral):
    flat = {n: t.detach().float().contiguous().clone() for name, tensor in named
            for n, t in per_expert(name, tensor, is_mixtral)}
    save_file(flat, path)
    path.chmod(0o644)


def losses(model, tokens, config, z_coef):
    """The loss, its parts, and the logits."""
    logits_of_routers = []
    hooks = [layer.mlp.gate.register_forward_hook(lambda m, i, out: logits_of_routers.append(out[0]))
             for layer in model.model.layers if hasattr(layer.mlp, "gate")]
    logits = model(tokens[:, :-1]).logits
    for hook in hooks:
        hook.remove()
    cross_entropy = torch.nn.functional.cross_entropy(
        logits.reshape(-1, config.vocab_size), tokens[:, 1:].reshape(-1))
    if not hooks:
        zero = torch.zeros(())
        return cross_entropy, cross_entropy, zero, zero, logits
    n, k = config.num_experts, config.num_experts_per_tok
    balance = z = 0.0
    for router in logits_of_routers:
        probabilities = router.softmax(-1)
        chosen = probabilities.topk(k).indices
        counts = torch.bincount(chosen.reshape(-1), minlength=n).to(router.dtype)
        t = router.shape[0]
        balance = balance + n / (k * t * t) * (counts * probabilities.sum(0)).sum()
        z = z + router.logsumexp(-1).pow(2).mean()
    n_layers = len(logits_of_routers)
    balance, z = balance / n_layers, z / n_layers
    loss = cross_entropy + config.router_aux_loss_coef * balance + z_coef * z
    return loss, cross_entropy, balance, z, logits


def make_model(settings):
    """Norms are off 1 and biases off 0, so that their place shows."""
    torch.manual_seed(1234)
    settings = dict(settings)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    model = AutoModelForCausalLM.from_config(config).double().train()
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    for parameter in model.parameters():
        parameter.data = parameter.data.float().double()
    return config, model


def write_config(config, model, z_coef, path):
    config.architectures = [type(model).__name__]
    kept = json.loads(config.to_json_string(use_diff=True))
    kept.pop("experts_implementation", None)
    if z_coef:
        kept["router_z_loss_coef"] = z_coef
    path.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


def make(case, settings, folder):
    config, model = make_model(settings)
    z_coef, is_mixtral = Z_COEF.get(case, 0.0), settings["model_type"] == "mixtral"
    folder.mkdir(parents=True, exist_ok=True)
    write_config(config, model, z_coef, folder / "config.json")
    save_tensors(folder / "model.safetensors", model.named_parameters(), is_mixtral)

    decayed = [p for p in model.parameters() if p.dim() > 1]
    norms = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [dict(params=decayed, weight_decay=ADAMW["weight_decay"]), dict(params=norms, weight_decay=0.0)],
        lr=ADAMW["lr"], betas=(ADAMW["beta1"], ADAMW["beta2"]), eps=ADAMW["epsilon"])
    steps = []
    for step in range(N_STEPS.get(case, 4)):
        tokens = torch.randint(0, config.vocab_size, (SEQUENCES, SEQ_LEN + 1))
        optimizer.zero_grad()
        loss, cross_entropy, balance, z, logits = losses(model, tokens, config, z_coef)
        loss.backward()
        if step == 0:
            save_tensors(folder / "logits.safetensors", [("logits", logits[0])], is_mixtral)
            save_tensors(folder / "gradients.safetensors",
                         [(name, p.grad) for name, p in model.named_parameters()], is_mixtral)
        norm = torch.sqrt(sum(p.grad.pow(2).sum() for p in model.parameters()))
        factor = min(1.0, ADAMW["clip_norm"] / norm.item())
        for p in model.parameters():
            p.grad *= factor
        optimizer.step()
        steps.append(dict(tokens=tokens.tolist(), cross_entropy=cross_entropy.item(),
                          balance_loss=balance.item(), z_loss=z.item(), grad_norm=norm.item()))
    save_tensors(folder / "after.safetensors", model.named_parameters(), is_mixtral)
    expected = dict(adamw=ADAMW, seq_len=SEQ_LEN, sequences=SEQUENCES, steps=steps)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(case, "loss", steps[0]["cross_entropy"], "->", steps[-1]["cross_entropy"],
          "norm", steps[0]["grad_norm"])


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent
    for case in sys.argv[1:] or CASES:
        make(case, CASES[case], here / "data" / case)
