/* SPDX-License-Identifier: MIT
 *
 * Token buffers of one microbatch.
 */
#ifndef RM_BATCHES_H
#define RM_BATCHES_H

#include "text/tokens.h"
#include "model/model.h"

typedef struct rm_batch_buffer {
    int32_t *tokens, *targets; /* [microbatch][seq_len] each */
    int64_t microbatch, seq_len;
} rm_batch_buffer;

ringmoe_status rm_batch_buffer_create(rm_batch_buffer *buffer, int64_t microbatch,
                                      int64_t seq_len, rm_error *error);
void rm_batch_buffer_free(rm_batch_buffer *buffer);

/* Puts the sequence that starts at token `first` of a stream into a row. */
void rm_batch_buffer_fill(rm_batch_buffer *buffer, int64_t row, const ringmoe_tokens *stream,
                          int64_t first);

/* FORMAT naming the first of the tokens [first, first + count) that is not below vocab_size. */
ringmoe_status rm_token_ids_check(const ringmoe_tokens *stream, int64_t first, int64_t count,
                                  int vocab_size, rm_error *error);

#endif
