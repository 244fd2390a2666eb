/* SPDX-License-Identifier: MIT
 *
 * Token streams: where training and evaluation take their tokens from.
 */
#ifndef RINGMOE_DATA_H
#define RINGMOE_DATA_H

#include <ringmoe/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_tokens ringmoe_tokens;

typedef enum ringmoe_token_format {
    RINGMOE_TOKENS_AUTO =
        0, /**< by name: .u16 or .bin are uint16 ids, .u32 uint32, else text */
    RINGMOE_TOKENS_TEXT = 1, /**< bytes; a folder: its regular files in the order of their
                                paths, recursively, joined by newlines; names that begin with a
                                dot are passed over */
    RINGMOE_TOKENS_U16 = 2,  /**< little-endian ids, no header */
    RINGMOE_TOKENS_U32 = 3,
} ringmoe_token_format;

/**
 * Opens a file or a folder of text files. Local (every rank opens it and sees the same).
 *   vocab_size  in  ids must be below it; checked on opening
 * Returns OK; ARGUMENT; FILE (missing, unreadable); FORMAT (empty, an id out of range with its
 * position); MEMORY. A single file is mapped, not read: it must not become shorter meanwhile.
 */
RINGMOE_API ringmoe_status ringmoe_tokens_open(ringmoe_context *context, const char *path,
                                               ringmoe_token_format format, int vocab_size,
                                               ringmoe_tokens **tokens);

/**
 * A synthetic language: pseudo-words of lower-case letters that follow one another in a Markov
 * chain with known probabilities. Its entropy rate is known exactly, so a model's loss has a
 * known floor: no model can do better on average, whatever it has seen before. Depends on the
 * seed alone. Local.
 *   n_tokens  in  bytes to make, at least 1
 * Returns OK; ARGUMENT; MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_tokens_synthetic(ringmoe_context *context, int64_t seed,
                                                    int64_t n_tokens, ringmoe_tokens **tokens);

/** Frees a stream. Local. NULL or *tokens NULL: nothing. Parts of a split are freed too. */
RINGMOE_API void ringmoe_tokens_destroy(ringmoe_tokens **tokens);

/**
 * Cuts the last `fraction` of a stream off as a held-out part. The parts share the parent's
 * memory: destroy them first. Local.
 * Returns OK; ARGUMENT (fraction outside (0, 1)); MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_tokens_split(ringmoe_context *context,
                                                ringmoe_tokens *tokens, double fraction,
                                                ringmoe_tokens **first, ringmoe_tokens **last);

/** Number of tokens. Local. */
RINGMOE_API int64_t ringmoe_tokens_count(const ringmoe_tokens *tokens);
/** Entropy of a token in nats for the synthetic language, NaN for real text. Local. */
RINGMOE_API double ringmoe_tokens_entropy(const ringmoe_tokens *tokens);
/** 1 if the tokens are bytes of text, so that bits per byte can be told. Local. */
RINGMOE_API int ringmoe_tokens_are_bytes(const ringmoe_tokens *tokens);
/** A 64-bit hash of the tokens' bytes and their width as 16 hex digits, which names the data in
 *  run.json. Local. */
RINGMOE_API ringmoe_status ringmoe_tokens_hash(const ringmoe_tokens *tokens, char hex[17]);
/** Copies `count` token ids from `first` on. Local. Returns OK; ARGUMENT (outside the stream; a
 * stream knows no context, so no line of text is left). */
RINGMOE_API ringmoe_status ringmoe_tokens_read(const ringmoe_tokens *tokens, int64_t first,
                                               int64_t count, int32_t *ids);

#ifdef __cplusplus
}
#endif
#endif
