/* SPDX-License-Identifier: MIT
 *
 * What lies in a checkpoint's folder, and whether it is whole. A checkpoint is
 *
 *   config.json                               Hugging Face's, as are the weights
 *   model-0000x-of-0000y.safetensors          one tensor a parameter, Mixtral's names, fp32
 *   model.safetensors.index.json              which file has which tensor
 *   optimizer-0000x-of-0000y.safetensors      exp_avg.<parameter>, exp_avg_sq.<parameter>
 *   state.json                                step, seed, data position, settings, layout
 *   manifest.json                             size and checksums of each of these files
 */
#ifndef RINGMOE_CHECKPOINT_H
#define RINGMOE_CHECKPOINT_H

#include <ringmoe/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_checkpoint_info {
    int64_t step;
    int64_t parameters;                 /**< elements of all weights */
    int64_t bytes;                      /**< of all files the manifest lists */
    int n_files;                        /**< in the manifest */
    int n_tensors;                      /**< of the model, without the optimizer's */
    char precision[8];                  /**< "fp32" or "bf16": of the run that wrote it */
    int pipeline, data, expert, tensor; /**< that run's layout */
    int64_t seed;
    int64_t samples_seen;      /**< the position in the data: sequences trained on */
    char weights_checksum[17]; /**< the same for the same weights, whatever layout wrote them */
} ringmoe_checkpoint_info;

/**
 * Reads what a checkpoint says of itself; sizes of files are compared with the manifest, of
 * their contents only state.json's. Local.
 * Returns OK; ARGUMENT (NULL; of another version); FILE; FORMAT (damaged, the file and why are
 * named); MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_checkpoint_describe(ringmoe_context *context,
                                                       const char *folder,
                                                       ringmoe_checkpoint_info *info);
/**
 * Reads every byte and compares it with the manifest; the ranks share the work. Collective.
 *   bytes   out  that were checked, over all ranks; or NULL
 * Returns OK; ARGUMENT (as above); FILE; FORMAT (the first file, in the manifest's order, that
 * is damaged, and where); MEMORY; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_checkpoint_verify(ringmoe_context *context,
                                                     const char *folder, int64_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
