/* SPDX-License-Identifier: MIT */
#include "train/settings.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

#include "model/model.h"
#include "pipeline/lists.h"

#define INTEGER(name, least, most, subject)                                                    \
    {                                                                                          \
#name, offsetof(ringmoe_train_settings, name), false, least, most, subject             \
    }
#define NUMBER(name, least, most)                                                              \
    {                                                                                          \
#name, offsetof(ringmoe_train_settings, name), true, least, most, RM_OF_RUN            \
    }

const rm_setting rm_settings[] = {
    INTEGER(seed, -DBL_MAX, DBL_MAX, RM_OF_DATA),
    INTEGER(seq_len, 1, 1 << 24, RM_OF_BATCH),
    INTEGER(microbatch, 1, 1 << 24, RM_OF_BATCH),
    INTEGER(global_batch, 1, 1 << 30, RM_OF_BATCH),
    INTEGER(steps, 1, RM_STEPS_MOST, RM_OF_RUN),
    NUMBER(lr, 0, 1e30),
    NUMBER(lr_min_ratio, 0, 1),
    INTEGER(warmup_steps, 0, RM_STEPS_MOST, RM_OF_RUN),
    NUMBER(weight_decay, 0, 1e6),
    NUMBER(beta1, 0, 0.999999),
    NUMBER(beta2, 0, 0.999999),
    NUMBER(epsilon, 1e-30, 1),
    NUMBER(clip_norm, 0, 1e30),
    INTEGER(reproducible, 0, 1, RM_OF_RUN),
    INTEGER(chunks, 0, RM_MAX_CHUNKS, RM_OF_LAYOUT),
    INTEGER(recompute, RINGMOE_RECOMPUTE_NONE, RINGMOE_RECOMPUTE_FULL, RM_OF_LAYOUT),
    INTEGER(shadow, RINGMOE_SHADOW_OFF, RINGMOE_SHADOW_ON, RM_OF_LAYOUT),
};
const int rm_n_settings = (int)(sizeof rm_settings / sizeof *rm_settings);

void ringmoe_train_settings_default(ringmoe_train_settings *settings)
{
    *settings = (ringmoe_train_settings){
        .steps = 1000,
        .seq_len = 256,
        .microbatch = 4,
        .global_batch = 16,
        .lr = 1e-3,
        .lr_min_ratio = 0.1,
        .warmup_steps = 20,
        .weight_decay = 0.1,
        .beta1 = 0.9,
        .beta2 = 0.95,
        .epsilon = 1e-8,
        .clip_norm = 1,
        .seed = 0,
    };
}

static double double_of(const rm_setting *setting, const ringmoe_train_settings *settings)
{
    double number;
    memcpy(&number, (const char *)settings + setting->offset, sizeof number);
    return number;
}

static int64_t integer_of(const rm_setting *setting, const ringmoe_train_settings *settings)
{
    int64_t integer;
    memcpy(&integer, (const char *)settings + setting->offset, sizeof integer);
    return integer;
}

void rm_setting_format(const rm_setting *setting, const ringmoe_train_settings *settings,
                       char text[RM_NUMBER_TEXT])
{
    if (setting->is_double)
        rm_number_format(double_of(setting, settings), text);
    else
        snprintf(text, RM_NUMBER_TEXT, "%lld", (long long)integer_of(setting, settings));
}

static ringmoe_status check_ranges(const ringmoe_train_settings *settings, rm_error *error)
{
    for (int i = 0; i < rm_n_settings; i++) {
        const rm_setting *setting = &rm_settings[i];
        double number = setting->is_double ? double_of(setting, settings)
                                           : (double)integer_of(setting, settings);
        if (number >= setting->least && number <= setting->most) continue; /* false for NaN */
        char text[RM_NUMBER_TEXT];
        rm_setting_format(setting, settings, text);
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s is %s; it must be %.12g..%.12g",
                       setting->name, text, setting->least, setting->most);
    }
    return RINGMOE_OK;
}

/* n_ranks: those with microbatches of their own. */
static ringmoe_status check_batch(const ringmoe_train_settings *settings, int n_ranks,
                                  rm_error *error)
{
    long long batch = settings->global_batch, microbatch = settings->microbatch;
    if (batch % microbatch != 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "global_batch is %lld; it must be a multiple of microbatch, %lld", batch,
                       microbatch);
    if (batch / microbatch > RM_MICROBATCHES_MOST)
        return rm_fail(
            error, RINGMOE_ERROR_ARGUMENT,
            "global_batch is %lld, which is %lld microbatches of %lld; at most %d: raise "
            "microbatch",
            batch, batch / microbatch, microbatch, RM_MICROBATCHES_MOST);
    if (batch / microbatch % n_ranks != 0)
        return rm_fail(
            error, RINGMOE_ERROR_LAYOUT,
            "a global batch of %lld sequences is %lld microbatches of %lld, which do "
            "not divide over %d ranks; make global_batch a multiple of %lld",
            batch, batch / microbatch, microbatch, n_ranks, microbatch * n_ranks);
    return RINGMOE_OK;
}

static ringmoe_status check_stages(const ringmoe_train_settings *settings,
                                   const ringmoe_mesh_dims *dims, rm_error *error)
{
    int64_t n_chunks = settings->chunks ? settings->chunks : 1;
    if (n_chunks * dims->pipeline > RINGMOE_MAX_LAYERS)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%lld chunks on each of %d pipeline ranks are %lld stages; at most %d: "
                       "take fewer chunks",
                       (long long)n_chunks, dims->pipeline,
                       (long long)n_chunks * dims->pipeline, RINGMOE_MAX_LAYERS);
    if (settings->reproducible && RM_INNER_BLOCKS % dims->tensor != 0)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "reproducible sums are made in %d fixed blocks, which %d tensor ranks "
                       "cannot share; use 1, 2 or 4, or leave reproducible off",
                       RM_INNER_BLOCKS, dims->tensor);
    return RINGMOE_OK;
}

ringmoe_status rm_settings_check(const ringmoe_train_settings *settings,
                                 const ringmoe_model_config *config,
                                 const ringmoe_mesh_dims *dims, rm_error *error)
{
    RM_TRY(check_ranges(settings, error));
    if (settings->seq_len > config->max_position_embeddings)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "seq_len is %lld; the model's max_position_embeddings allows at most %d",
                       (long long)settings->seq_len, config->max_position_embeddings);
    RM_TRY(rm_schedule_check_name(settings->schedule, sizeof settings->schedule, error));
    RM_TRY(check_stages(settings, dims, error));
    return check_batch(settings, dims->data * dims->expert, error);
}

void rm_settings_choose(ringmoe_train_settings *settings, const ringmoe_model_config *config,
                        const ringmoe_mesh_dims *dims)
{
    if (settings->chunks == 0) settings->chunks = rm_chunks_choose(config, dims);
    if (!settings->schedule[0])
        snprintf(settings->schedule, sizeof settings->schedule, "%s",
                 rm_schedule_choose(dims->pipeline, settings->chunks));
    if (!strcmp(settings->schedule, "zb-h1") && settings->recompute == RINGMOE_RECOMPUTE_FULL)
        settings->recompute = RINGMOE_RECOMPUTE_SELECTIVE;
}
