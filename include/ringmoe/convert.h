/* SPDX-License-Identifier: MIT
 *
 * Models from one file format to another: Hugging Face folders and GGUF, number types, and
 * dense models to models with experts.
 */
#ifndef RINGMOE_CONVERT_H
#define RINGMOE_CONVERT_H

#include <ringmoe/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ringmoe_model_format {
    RINGMOE_MODEL_FOLDER =
        0, /**< config.json and model*.safetensors, as transformers loads them */
    RINGMOE_MODEL_GGUF = 1, /**< one file, as llama.cpp loads it */
} ringmoe_model_format;

/** Called on rank 0 now and then: bytes written of how many. Not 0: the conversion stops and
 * leaves nothing behind. */
typedef int (*ringmoe_convert_progress)(void *user, int64_t done, int64_t total);

typedef struct ringmoe_convert_settings {
    ringmoe_model_format format; /**< to be written; default a folder */
    ringmoe_weights type; /**< of matrices; AUTO (default): that of the source, if the format
                             has it, else fp32, and nothing is rounded. Q8_0 and Q4_0 are GGUF's
                             alone; there norms, biases and routers stay fp32, and matrices
                             whose rows are no multiple of 32 numbers become bf16 */
    int fused;           /**< 1: folders get one tensor for all experts of a layer; default 0 */
    int upcycle_experts; /**< 0 (default); else a dense model of the family llama or qwen3
                              becomes one of mixtral or qwen3_moe with so many experts in each
                              layer, each a copy of the layer's dense part: with the experts'
                              weights adding up to 1 it computes what the dense one does */
    int upcycle_experts_per_token; /**< k, 1..upcycle_experts; default 2 */
    int64_t seed;                  /**< of the new routers' random weights; default 0 */
    int64_t file_bytes; /**< a folder's files are no larger, unless a single tensor is; default
                             5e9 */
    ringmoe_convert_progress progress; /**< NULL (default): nobody is told */
    void *progress_user;               /**< handed to `progress` */
    int without_tokenizer; /**< 1: the model alone is written, as when its tokenizer is of a
                              kind that is not known here; default 0 */
} ringmoe_convert_settings;

/** Fills every field with its default. Local. */
RINGMOE_API void ringmoe_convert_settings_default(ringmoe_convert_settings *settings);

/**
 * Converts a model. Collective over the context: rank 0 works, with its threads and memory that
 * does not grow with the model, and the others wait for its outcome; a checkpoint's files they
 * compare together with its manifest first. What is written gets its name when it is complete.
 *   model     in  a folder, or a file whose name ends in .gguf
 *   out       in  a folder, or a file whose name ends in .gguf, that is not there yet
 *   settings  in  NULL: the defaults
 * The tokenizer goes along: from folder to folder its files, to GGUF as lists, and of lists
 * tokenizer.json and tokenizer_config.json are made.
 * Returns OK; ARGUMENT (names the setting, or what llama.cpp has not); FILE; FORMAT (the model
 * or its tokenizer is damaged or not known here); INTERRUPTED (progress said so); NUMERIC (a
 * number that is not finite, or that the type cannot hold); MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_convert(ringmoe_context *context, const char *model,
                                           const char *out,
                                           const ringmoe_convert_settings *settings);

#ifdef __cplusplus
}
#endif
#endif
