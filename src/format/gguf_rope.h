/* SPDX-License-Identifier: MIT
 *
 * Scaled rotary positions in GGUF files. "linear" is two keys of the architecture; llama3's is
 * not named there: the tensor rope_freqs.weight has the divisor of each pair's frequency, from
 * which the settings that make these are found again.
 */
#ifndef RM_GGUF_ROPE_H
#define RM_GGUF_ROPE_H

#include <ringmoe/model.h>

#include "format/gguf.h"
#include "format/gguf_write.h"

#define RM_GGUF_ROPE_TENSOR "rope_freqs.weight"
#define RM_GGUF_ROPE_TYPE "rope.scaling.type"
#define RM_GGUF_ROPE_FACTOR "rope.scaling.factor"

/* Reads both into a configuration that has rope_theta and head_dim. FORMAT. */
ringmoe_status rm_gguf_rope_read(const rm_gguf *file, const char *architecture,
                                 ringmoe_model_config *config, rm_error *error);
/* Puts the keys, if there are any. */
void rm_gguf_rope_put(rm_gguf_writer *writer, const char *architecture,
                      const ringmoe_model_config *config);
/* The tensor's numbers: divisors [head_dim / 2]. */
void rm_gguf_rope_divisors(const ringmoe_model_config *config, float *divisors);

#endif
