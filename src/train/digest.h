/* SPDX-License-Identifier: MIT
 *
 * Hashes of values that are spread over the ranks: the sum, modulo 2^64, over a parameter's
 * elements of a mix of the parameter's name, the element's index in the whole and its bits.
 * Such a sum may be taken in any order, so it is the same on every layout, and of a
 * checkpoint's file as of the memory it was written from. The weights' hash is
 * XXH64 of their parameters' hashes in the model's order.
 */
#ifndef RM_DIGEST_H
#define RM_DIGEST_H

#include "train/shares.h"

/* Elements that a source is asked for at a time. */
#define RM_DIGEST_ELEMENTS 16384

/* Elements [first, first + n) of this rank's part of a parameter: a pointer to them, or to
 * `buffer` of RM_DIGEST_ELEMENTS after filling it. Called from several threads. */
typedef const rm_real *(*rm_part_values)(const void *source, const ringmoe_trainer *trainer,
                                         const rm_parameter *parameter, rm_share elements,
                                         rm_real *buffer);

/* One term of such a sum: elements of this rank's part. `stream`: of the parameter's name. */
uint64_t rm_hash_share(const ringmoe_trainer *trainer, const rm_parameter *parameter,
                       rm_share share, uint64_t stream, rm_part_values values,
                       const void *source);

/* Values that are hashed: weights (`source` NULL); arrays spread as the shards are, one a
 * space. */
const rm_real *rm_values_of_weights(const void *source, const ringmoe_trainer *trainer,
                                    const rm_parameter *parameter, rm_share elements,
                                    rm_real *buffer);
const rm_real *rm_values_of_shards(const void *source, const ringmoe_trainer *trainer,
                                   const rm_parameter *parameter, rm_share elements,
                                   rm_real *buffer);

/* The mix for one element. */
uint64_t rm_element_hash(uint64_t stream, int64_t index, rm_real value);
/* 1 or -1, as it were by lot: an element's sign in a projection. */
double rm_element_sign(uint64_t stream, int64_t index);

#endif
