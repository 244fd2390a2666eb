/* SPDX-License-Identifier: MIT */
#include "train.h"

#define ROW(member, ...) OPTION_ROW(train_options, member, __VA_ARGS__)
#define MANY 1e15
#define MOST_STEPS 1e9

static const option_row rows[] = {
    ROW(data, TEXT, "data", "PATH", "text file, folder, token file, or synthetic"),
    ROW(format, CHOICE, "format", FORMAT_WORDS, "of --data and --val"),
    ROW(tokenizer, TEXT, "tokenizer", "PATH", "file or folder; checkpoints carry it",
        .otherwise = "the model's own, else bytes"),
    ROW(val, TEXT, "val", "PATH", "validate on this", .otherwise = "a part of --data"),
    ROW(val_fraction, NUMBER, "val-fraction", "F", "part of --data held out for it",
        .high = 0.9),
    ROW(model, TEXT, "model", "NAME", "tiny, small, base, config.json or folder"),
    ROW(train.steps, INTEGER, "steps", "N", "optimizer steps", .low = 1, .high = MOST_STEPS),
    ROW(minutes, NUMBER, "minutes", "M", "as many steps as fit; with --steps: a limit",
        .high = 1e6, .otherwise = "no limit", .forgotten = true),
    ROW(train.seq_len, INTEGER, "seq-len", "N", "tokens of a sequence", .low = 1, .high = MANY),
    ROW(train.microbatch, INTEGER, "microbatch", "N", "sequences of a microbatch", .low = 1,
        .high = 1 << 24),
    ROW(train.global_batch, INTEGER, "global-batch", "N", "sequences of a step, over all ranks",
        .low = 1, .high = 1 << 30),
    ROW(train.lr, NUMBER, "lr", "RATE", "peak learning rate", .high = 1e30),
    ROW(train.lr_min_ratio, NUMBER, "lr-min-ratio", "R", "final rate / peak rate", .high = 1),
    ROW(train.warmup_steps, INTEGER, "warmup", "N", "steps of linear warm-up",
        .high = MOST_STEPS),
    ROW(train.weight_decay, NUMBER, "weight-decay", "W", "decoupled; none on norms",
        .high = 1e6),
    ROW(train.beta1, NUMBER, "beta1", "B", "AdamW's first moment", .high = 0.999999),
    ROW(train.beta2, NUMBER, "beta2", "B", "AdamW's second moment", .high = 0.999999),
    ROW(train.epsilon, NUMBER, "epsilon", "E", "AdamW's, beside the root", .low = 1e-30,
        .high = 1),
    ROW(train.clip_norm, NUMBER, "clip", "NORM", "of the whole gradient; 0: none",
        .high = 1e30),
    ROW(train.seed, INTEGER, "seed", "N", "of weights, order of data, synthetic language",
        .low = -MANY, .high = MANY),
    PLACEMENT_ROWS(train_options),
    EXECUTION_ROWS(train_options),
    ROW(out, TEXT, "out", "FOLDER", "of the run", .otherwise = "runs/<model>-<n>",
        .forgotten = true),
    ROW(resume, CHOICE, "resume", RESUME_WORDS, "go on with the run in --out, see above",
        .bare = "run", .forgotten = true),
    ROW(save_every, INTEGER, "save-every", "N", "checkpoint each N steps; 0: only at the end",
        .high = MOST_STEPS, .otherwise = "a tenth of the run"),
    ROW(save_async, CHOICE, "save-async", SAVE_ASYNC_WORDS,
        "write checkpoints beside training; auto: if memory allows"),
    ROW(keep, INTEGER, "keep", "N", "newest checkpoints that stay, and the best; 0: all",
        .high = MANY),
    ROW(eval_every, INTEGER, "eval-every", "N", "validate each N steps", .high = MANY,
        .otherwise = "ten times a run"),
    ROW(eval_sequences, INTEGER, "eval-sequences", "N", "sequences of a validation", .low = 1,
        .high = MANY),
    ROW(sample_tokens, INTEGER, "sample-tokens", "N", "of the sample at the end; 0: none",
        .high = 1e6),
    ROW(json, FLAG, "json", NULL, "the result as JSON on stdout, the rest on stderr",
        .forgotten = true),
};

const option_set train_option_set = {
    .usage = "ringmoe train --data PATH [options]",
    .summary =
        "Trains a Mixture-of-Experts language model and writes a run folder with its\n"
        "settings, a line of metrics for each step, and checkpoints. Under mpiexec the\n"
        "work is spread over the ranks, the experts first; the losses stay the same to the\n"
        "last bit.\n\n"
        "--resume goes on with the run in --out from its newest checkpoint that is whole, "
        "with\n"
        "the settings of that run unless the command line gives others. Layout, --precision\n"
        "and what concerns the optimizer (--steps, --lr, ..) may change; model, data, --seed\n"
        "and batch must not. --resume=weights starts a new run from the weights of --model: a\n"
        "run, a checkpoint or a Hugging Face folder.\n\n"
        "checkpoints/latest names the newest checkpoint, checkpoints/best the one with the\n"
        "lowest validation loss.",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};

void train_options_default(train_options *options)
{
    *options = (train_options){
        PLACEMENT_DEFAULT,
        .model = "tiny",
        .save_every = -1,
        .keep = 2,
        .val_fraction = HELD_OUT_FRACTION,
        .eval_sequences = TRAIN_EVAL_SEQUENCES,
        .sample_tokens = 200,
    };
    ringmoe_train_settings_default(&options->train);
}
