#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Times a Mixture-of-Experts layer in PyTorch: the other side of `ringmoe bench moe`.

    python3 tests/golden/torch_layer.py [--tokens 1024] [--d-model 1024] [--d-ff 2816]
        [--experts 8] [--top-k 2] [--precision fp32|bf16] [--threads N] [--repeat 9]

The layer is a softmax router and SwiGLU experts, run by a loop over the experts that have tokens:
index_select, three products, index_add. gate and up are one matrix, and the weight multiplies the
output; --pieces times gate and up apart. In bf16 the weights are bf16 already, since casting them
in each pass (autocast) would be charged to the layer. Gradients are zeroed between the passes,
not within the time. Prints one JSON line: medians and bests in ms of the forward pass (without a
graph), and of forward and backward passes together.
"""
import argparse
import json
import statistics
import time

import torch
from torch.nn import functional


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in [("tokens", 1024), ("d-model", 1024), ("d-ff", 2816), ("experts", 8),
                        ("top-k", 2), ("repeat", 9)]:
        parser.add_argument("--" + name, type=int, default=value)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--pieces", action="store_true", help="gate and up as two products")
    return parser.parse_args()


class Layer(torch.nn.Module):
    def __init__(self, options, dtype):
        super().__init__()

        def weights(*shape):
            return torch.nn.Parameter(0.02 * torch.randn(*shape, dtype=dtype))

        n, d_model, d_ff = options.experts, options.d_model, options.d_ff
        self.top_k, self.pieces = options.top_k, options.pieces
        self.router = torch.nn.Parameter(0.02 * torch.randn(n, d_model))
        self.gate_up = torch.nn.ParameterList([weights(2 * d_ff, d_model) for _ in range(n)])
        self.down = torch.nn.ParameterList([weights(d_model, d_ff) for _ in range(n)])

    def expert(self, index, rows):
        if self.pieces:
            gate, up = (functional.linear(rows, w) for w in self.gate_up[index].chunk(2))
        else:
            gate, up = functional.linear(rows, self.gate_up[index]).chunk(2, dim=-1)
        return functional.linear(functional.silu(gate) * up, self.down[index])

    def forward(self, x):
        scores = functional.linear(x.float(), self.router).softmax(-1)
        weights, chosen = scores.topk(self.top_k, dim=-1)
        weights = (weights / weights.sum(-1, keepdim=True)).to(x.dtype).reshape(-1)
        order = chosen.reshape(-1).argsort(stable=True)
        counts = torch.bincount(chosen.reshape(-1), minlength=len(self.down)).tolist()
        y = torch.zeros_like(x)
        for index, places in enumerate(order.split(counts)):
            if len(places) == 0:
                continue
            tokens = places // self.top_k
            rows = self.expert(index, x.index_select(0, tokens))
            y.index_add_(0, tokens, rows * weights.index_select(0, places)[:, None])
        return y


def milliseconds(work, prepare, repeat):
    """Of the passes after the first, without what prepares them."""
    times = []
    for _ in range(repeat + 1):
        prepare()
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return dict(median=statistics.median(times[1:]), best=min(times[1:]))


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    layer = Layer(options, dtype)
    x = torch.rand(options.tokens, options.d_model).mul(2).sub(1).to(dtype).requires_grad_()
    d_y = torch.rand(options.tokens, options.d_model).mul(2).sub(1).to(dtype)

    def forward():
        with torch.no_grad():
            layer(x)

    def clear_gradients():
        layer.zero_grad(set_to_none=False)
        x.grad = None

    def forward_and_backward():
        layer(x).backward(d_y)

    result = dict(program="pytorch " + torch.__version__, **vars(options))
    result["forward_ms"] = milliseconds(forward, clear_gradients, options.repeat)
    result["forward_and_backward_ms"] = milliseconds(forward_and_backward, clear_gradients,
                                                     options.repeat)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
