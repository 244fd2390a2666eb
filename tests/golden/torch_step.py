#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times a training step of a preset in PyTorch: the other side of `ringmoe bench step`.

    python3 tests/golden/torch_step.py --config CONFIG.json [--precision fp32|bf16] [--threads N]
        [--seq-len 256] [--microbatch 4] [--global-batch 8] [--repeat 5] [--experts eager]

The model is transformers' Mixtral built from a config.json (a run of ringmoe leaves one in each
checkpoint); the step is the same: gradient accumulation over microbatches, clipping, AdamW (its
fused form), fp32 master weights. bf16 is PyTorch's autocast. Prints one JSON line with the median
and the best step. --experts names transformers' way to run the experts; "best" tries each once
and keeps the fastest.
"""
import argparse
import json
import statistics
import time

import torch
from transformers import AutoConfig, MixtralForCausalLM


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seq-len", type=int, default=256)
    parser.add_argument("--microbatch", type=int, default=4)
    parser.add_argument("--global-batch", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--experts", default="best",
                        choices=["best", "eager", "grouped_mm", "batched_mm"])
    return parser.parse_args()


class Trainer:
    def __init__(self, options, experts):
        torch.manual_seed(0)
        config = AutoConfig.from_pretrained(options.config, experts_implementation=experts)
        self.options, self.model = options, MixtralForCausalLM(config).train()
        decayed = [p for p in self.model.parameters() if p.dim() > 1]
        norms = [p for p in self.model.parameters() if p.dim() == 1]
        self.optimizer = torch.optim.AdamW(
            [dict(params=decayed, weight_decay=0.1), dict(params=norms, weight_decay=0.0)],
            lr=1e-3, betas=(0.9, 0.95), fused=True)
        self.vocabulary = config.vocab_size

    def step(self):
        options = self.options
        parts = options.global_batch // options.microbatch
        start = time.perf_counter()
        for _ in range(parts):
            tokens = torch.randint(0, self.vocabulary, (options.microbatch, options.seq_len + 1))
            with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
                logits = self.model(tokens[:, :-1]).logits
            loss = torch.nn.functional.cross_entropy(
                logits.float().reshape(-1, self.vocabulary), tokens[:, 1:].reshape(-1))
            (loss / parts).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        return time.perf_counter() - start


def fastest(options):
    """The trainer whose second step is the fastest."""
    best, best_time, best_name = None, float("inf"), None
    for name in ["eager", "grouped_mm"] if options.experts == "best" else [options.experts]:
        trainer = Trainer(options, name)
        trainer.step()
        seconds = trainer.step()
        if seconds < best_time:
            best, best_time, best_name = trainer, seconds, name
        del trainer
    return best, best_name


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    trainer, experts = fastest(options)
    seconds = [trainer.step() for _ in range(options.repeat)]
    tokens = options.global_batch * options.seq_len
    print(json.dumps(dict(
        program="pytorch " + torch.__version__, experts=experts, precision=options.precision,
        threads=options.threads, tokens_per_step=tokens,
        tokens_per_s=tokens / statistics.median(seconds),
        best_tokens_per_s=tokens / min(seconds), step_ms=1e3 * statistics.median(seconds))))


if __name__ == "__main__":
    main()
