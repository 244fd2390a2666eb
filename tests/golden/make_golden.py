#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes the stored results that test_golden compares with: transformers' own Mixtral in PyTorch.

    pip install torch transformers safetensors
    python3 tests/golden/make_golden.py

For each case of CASES, data/<case>/ gets
    config.json            the model, as Hugging Face writes it
    model.safetensors      initial weights, one tensor an expert (w1, w2, w3), fp32
    gradients.safetensors  of the first step's loss, before clipping
    after.safetensors      the weights after N_STEPS steps of AdamW
    expected.json          tokens of each step, the loss's parts, gradient norms, AdamW's settings

Everything is computed in double and stored in fp32, so that what is compared is our error alone.
The auxiliary losses are not transformers' (which gives k at balance) but ours, 1 at balance:
    balance = E / (k T^2) * sum_e n_e * sum_t p_te        z = mean_t logsumexp(logits_t)^2
each averaged over layers; loss = cross-entropy + balance_coef * balance + z_coef * z.
"""
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import MixtralConfig, MixtralForCausalLM

N_STEPS = 10
SEQUENCES, SEQ_LEN = 3, 21  # odd on purpose
ADAMW = dict(lr=3e-3, beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, clip_norm=1.0)

BASE = dict(
    vocab_size=48, hidden_size=24, intermediate_size=20, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=6, num_local_experts=4,
    num_experts_per_tok=2, max_position_embeddings=64, rms_norm_eps=1e-5,
    rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
    initializer_range=0.15, router_aux_loss_coef=0.02, tie_word_embeddings=False,
    attn_implementation="eager", experts_implementation="eager",
    bos_token_id=None, eos_token_id=None,
)
CASES = {
    "untied": dict(BASE),
    "tied": dict(BASE, tie_word_embeddings=True, num_key_value_heads=1, num_experts_per_tok=3,
                 num_local_experts=6, intermediate_size=12),
}
Z_COEF = {"untied": 0.0, "tied": 0.01}


def per_expert(name, tensor):
    """transformers keeps the experts of a layer in one tensor; files hold one tensor an expert."""
    layer = name.removesuffix(".mlp.experts.gate_up_proj").removesuffix(".mlp.experts.down_proj")
    if name.endswith("gate_up_proj"):
        for e, both in enumerate(tensor):
            w1, w3 = both.chunk(2)
            yield f"{layer}.block_sparse_moe.experts.{e}.w1.weight", w1
            yield f"{layer}.block_sparse_moe.experts.{e}.w3.weight", w3
    elif name.endswith("experts.down_proj"):
        for e, w2 in enumerate(tensor):
            yield f"{layer}.block_sparse_moe.experts.{e}.w2.weight", w2
    else:
        yield name.replace(".mlp.gate.", ".block_sparse_moe.gate."), tensor


def save_tensors(path, named):
    flat = {n: t.detach().float().contiguous().clone() for name, tensor in named
            for n, t in per_expert(name, tensor)}
    save_file(flat, path)
    path.chmod(0o644)


def losses(model, tokens, config, z_coef):
    logits_of_routers = []
    hooks = [layer.mlp.gate.register_forward_hook(lambda m, i, out: logits_of_routers.append(out[0]))
             for layer in model.model.layers]
    logits = model(tokens[:, :-1]).logits
    for hook in hooks:
        hook.remove()
    cross_entropy = torch.nn.functional.cross_entropy(
        logits.reshape(-1, config.vocab_size), tokens[:, 1:].reshape(-1))
    n, k = config.num_local_experts, config.num_experts_per_tok
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
    return cross_entropy + config.router_aux_loss_coef * balance + z_coef * z, cross_entropy, balance, z


def make(case, settings, folder):
    torch.manual_seed(1234)
    config = MixtralConfig(**settings)
    model = MixtralForCausalLM(config).double().train()
    for name, parameter in model.named_parameters():  # norms off 1, so that their place shows
        if parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    for parameter in model.parameters():
        parameter.data = parameter.data.float().double()
    folder.mkdir(parents=True, exist_ok=True)
    config.architectures = ["MixtralForCausalLM"]
    kept = json.loads(config.to_json_string(use_diff=True))
    kept.pop("experts_implementation", None)
    kept["router_z_loss_coef"] = Z_COEF[case]
    (folder / "config.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    save_tensors(folder / "model.safetensors", model.named_parameters())

    decayed = [p for p in model.parameters() if p.dim() > 1]
    norms = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [dict(params=decayed, weight_decay=ADAMW["weight_decay"]), dict(params=norms, weight_decay=0.0)],
        lr=ADAMW["lr"], betas=(ADAMW["beta1"], ADAMW["beta2"]), eps=ADAMW["epsilon"])
    steps = []
    for step in range(N_STEPS):
        tokens = torch.randint(0, config.vocab_size, (SEQUENCES, SEQ_LEN + 1))
        optimizer.zero_grad()
        loss, cross_entropy, balance, z = losses(model, tokens, config, Z_COEF[case])
        loss.backward()
        if step == 0:
            save_tensors(folder / "gradients.safetensors",
                         [(name, p.grad) for name, p in model.named_parameters()])
        norm = torch.sqrt(sum(p.grad.pow(2).sum() for p in model.parameters()))
        factor = min(1.0, ADAMW["clip_norm"] / norm.item())
        for p in model.parameters():
            p.grad *= factor
        optimizer.step()
        steps.append(dict(tokens=tokens.tolist(), cross_entropy=cross_entropy.item(),
                          balance_loss=balance.item(), z_loss=z.item(), grad_norm=norm.item()))
    save_tensors(folder / "after.safetensors", model.named_parameters())
    expected = dict(adamw=ADAMW, seq_len=SEQ_LEN, sequences=SEQUENCES, steps=steps)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(case, "loss", steps[0]["cross_entropy"], "->", steps[-1]["cross_entropy"],
          "norm", steps[0]["grad_norm"])


if __name__ == "__main__":
    here = pathlib.Path(__file__).resolve().parent
    for case, settings in CASES.items():
        make(case, settings, here / "data" / case)
