/* SPDX-License-Identifier: MIT */
#include "train/batches.h"

#include <stdlib.h>

ringmoe_status rm_batch_buffer_create(rm_batch_buffer *buffer, int64_t microbatch,
                                      int64_t seq_len, rm_error *error)
{
    size_t n = (size_t)(microbatch * seq_len);
    *buffer = (rm_batch_buffer){calloc(n, sizeof(int32_t)), calloc(n, sizeof(int32_t)),
                                microbatch, seq_len};
    if (buffer->tokens && buffer->targets) return RINGMOE_OK;
    rm_batch_buffer_free(buffer);
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the tokens of a microbatch");
}

void rm_batch_buffer_free(rm_batch_buffer *buffer)
{
    free(buffer->tokens);
    free(buffer->targets);
    *buffer = (rm_batch_buffer){0};
}

void rm_batch_buffer_fill(rm_batch_buffer *buffer, int64_t row, const ringmoe_tokens *stream,
                          int64_t first)
{
    int64_t at = row * buffer->seq_len;
    rm_tokens_copy(stream, first, buffer->seq_len, buffer->tokens + at);
    rm_tokens_copy(stream, first + 1, buffer->seq_len, buffer->targets + at);
}

ringmoe_status rm_token_ids_check(const ringmoe_tokens *stream, int64_t first, int64_t count,
                                  int vocab_size, rm_error *error)
{
    enum { PIECE = 4096 };
    int32_t ids[PIECE];
    for (int64_t done = 0; done < count; done += PIECE) {
        int64_t n = count - done < PIECE ? count - done : PIECE;
        rm_tokens_copy(stream, first + done, n, ids);
        for (int64_t i = 0; i < n; i++)
            if (ids[i] < 0 || ids[i] >= vocab_size)
                return rm_fail(error, RINGMOE_ERROR_FORMAT,
                               "token %lld of the stream is %d; ids must be below the model's "
                               "vocab_size of %d",
                               (long long)(first + done + i), ids[i], vocab_size);
    }
    return RINGMOE_OK;
}
