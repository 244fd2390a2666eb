#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/unit/sampling_cases.h: what transformers' own steps of sampling, in the order in which
its generate() takes them, make of some logits. Run it with torch and transformers installed:

    tests/golden/sampling.py > tests/unit/sampling_cases.h
"""
import torch
import transformers
from transformers.generation.logits_process import (
    LogitsProcessorList, MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper,
    TopKLogitsWarper, TopPLogitsWarper)

LOGITS = [2.5, -1.0, 0.3, 3.1, 1.7, -0.4, 2.2, 0.9, -2.5, 1.1, 2.9, 0.0]
SEEN = [3, 5, 6, 8]
#        temperature, top_k, top_p, min_p, repetition_penalty
CASES = [(1, 0, 1, 0, 1), (0.6, 0, 1, 0, 1), (1.7, 5, 1, 0, 1), (1, 0, 0.8, 0, 1), (0.8, 0, 0.95, 0, 1),
         (1, 0, 1, 0.2, 1), (1.3, 0, 1, 0.45, 1), (0.9, 8, 0.7, 0, 1), (1.2, 9, 0.9, 0.15, 1),
         (1, 0, 0.85, 0.3, 1.3), (0.7, 6, 0.9, 0.1, 0.8), (1, 0, 1, 0, 1.8)]


def probabilities(temperature, top_k, top_p, min_p, penalty):
    steps = LogitsProcessorList()
    if penalty != 1:
        steps.append(RepetitionPenaltyLogitsProcessor(penalty))
    if temperature != 1:
        steps.append(TemperatureLogitsWarper(float(temperature)))
    if top_k:
        steps.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        steps.append(TopPLogitsWarper(top_p))
    if min_p > 0:
        steps.append(MinPLogitsWarper(min_p))
    scores = steps(torch.tensor([SEEN]), torch.tensor([LOGITS], dtype=torch.float64))
    return torch.softmax(scores, -1)[0].tolist()


def row(numbers):
    return ", ".join(f"{number:.6g}" for number in numbers)


print(f"""/* SPDX-License-Identifier: MIT
 *
 * Made by tests/golden/sampling.py with transformers {transformers.__version__}: the probabilities of each token.
 */
#ifndef SAMPLING_CASES_H
#define SAMPLING_CASES_H

enum {{ CASE_TOKENS = {len(LOGITS)} }};

static const double case_logits[CASE_TOKENS] = {{{row(LOGITS)}}};
/* Tokens that the repetition penalty is for, as bits. */
static const uint64_t case_seen = {sum(1 << i for i in SEEN)};

static const struct sampling_case {{
    double temperature;
    int top_k;
    double top_p, min_p, repetition_penalty, probabilities[CASE_TOKENS];
}} sampling_cases[] = {{""")
for case in CASES:
    print(f"    {{{row(case)}, {{{row(probabilities(*case))}}}}},")
print("};\n\n#endif")
