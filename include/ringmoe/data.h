/* SPDX-License-Identifier: MIT
 *
 * Token streams: where training and evaluation take their tokens from.
 */
#ifndef RINGMOE_DATA_H
#define RINGMOE_DATA_H

#include <ringmoe/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_tokens ringmoe_tokens;

typedef enum ringmoe_token_format {
    RINGMOE_TOKENS_AUTO =
        0,                   /**< by name: .bin is LLMC, MEGATRON or U16 as its content and
                                an .idx beside it say, .u16 uint16 ids, .u32 uint32, else text */
    RINGMOE_TOKENS_TEXT = 1, /**< bytes; a folder: its regular files in the order of their
                                paths, recursively, joined by newlines; names that begin with a
                                dot are passed over */
    RINGMOE_TOKENS_U16 = 2,  /**< little-endian ids, no header, as nanoGPT has them */
    RINGMOE_TOKENS_U32 = 3,
    RINGMOE_TOKENS_LLMC = 4, /**< llm.c's: a header of 1024 bytes, then uint16 or uint32 ids */
    RINGMOE_TOKENS_MEGATRON = 5, /**< Megatron's: ids in NAME.bin, where documents lie in
                                    NAME.idx; read as one run of ids */
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

/** How a text falls into documents. */
typedef enum ringmoe_documents {
    RINGMOE_DOCUMENTS_FILES = 0,      /**< each file is one */
    RINGMOE_DOCUMENTS_LINES = 1,      /**< each line that is not empty, without its end */
    RINGMOE_DOCUMENTS_JSON_LINES = 2, /**< each line is a JSON object with a text */
} ringmoe_documents;

typedef struct ringmoe_tokenize_settings {
    ringmoe_documents documents;
    const char *key; /**< of JSON lines: of the text; default "text" */
    int flags;       /**< RINGMOE_ENCODE_*; default 0 */
    int end;         /**< id behind each document; -1: none; default: -1 */
    /** Of what is written: AUTO (default) is nothing but ids, of 16 bits or as the name says.
     */
    ringmoe_token_format format;
    /** Called now and then from the calling thread with the share that is done, 0 to 1; returns
     * 0 to go on, else to stop. NULL (default): nobody is. */
    int (*progress)(void *user, double done);
    void *user;
} ringmoe_tokenize_settings;

/** Fills every field with its default. Local. */
RINGMOE_API void ringmoe_tokenize_settings_default(ringmoe_tokenize_settings *settings);

typedef struct ringmoe_tokenize_result {
    int64_t documents, tokens;
    int64_t bytes; /**< of text */
} ringmoe_tokenize_result;

/**
 * Text files, or folders of them as above, as a stream of ids in memory; `format` is not looked
 * at. The context's threads share the work; the ids do not depend on their number. Local.
 *   paths   in   n_paths of them, one after the other
 *   result  out  or NULL; holds what is done so far whenever progress is called
 * Returns OK; ARGUMENT; FILE; FORMAT (a line that is no JSON object with such a text, with its
 * number; nothing but empty documents; see ringmoe_tokenizer_encode); INTERRUPTED (progress
 * said so); MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_tokens_encode(ringmoe_context *context,
                                                 const ringmoe_tokenizer *tokenizer,
                                                 const char *const *paths, int n_paths,
                                                 const ringmoe_tokenize_settings *settings,
                                                 ringmoe_tokens **tokens,
                                                 ringmoe_tokenize_result *result);

/**
 * The same by all ranks of the context together: each encodes a part of the texts, which lie at
 * the same paths on every node, and every rank gets the ids of all, the same as from one rank.
 * Where a text cannot be cut (ringmoe_tokens_write says where it can), one rank reads it.
 * Collective; settings are the same on every rank, but `progress` is told, and decides on, each
 * rank's own part.
 *   result  out  or NULL; of the whole at the end
 * Returns as ringmoe_tokens_encode, the same on every rank; FILE also if a text changed
 * meanwhile; MISMATCH (the ranks differ in settings, or in the content of the texts or of the
 * tokenizer, which are compared by hashes: every rank reads all texts once for it); MPI.
 */
RINGMOE_API ringmoe_status ringmoe_tokens_encode_together(
    ringmoe_context *context, const ringmoe_tokenizer *tokenizer, const char *const *paths,
    int n_paths, const ringmoe_tokenize_settings *settings, ringmoe_tokens **tokens,
    ringmoe_tokenize_result *result);

/**
 * The same into a file, which gets its name when it is whole. Files that lie in the folders and
 * are this output (its name, with .tmp, with .idx) are left out. The name must be one by which
 * ringmoe_tokens_open finds the layout: .bin for llm.c, Megatron (whose .idx is written beside
 * it) and ids of 16 bits, .u16, .u32. Memory does not grow with the text, but for the places
 * where documents end (Megatron) and for long stretches of a file without any place at which it
 * may be cut: these are between letters and blanks or ends of lines, if the tokenizer's pattern
 * has a name or it works over characters; otherwise a file is one stretch, of at most 1 GiB.
 * Local.
 * Returns as ringmoe_tokens_encode.
 */
RINGMOE_API ringmoe_status ringmoe_tokens_write(ringmoe_context *context,
                                                const ringmoe_tokenizer *tokenizer,
                                                const char *const *paths, int n_paths,
                                                const ringmoe_tokenize_settings *settings,
                                                const char *path,
                                                ringmoe_tokenize_result *result);

typedef struct ringmoe_train_tokenizer_settings {
    int vocab_size; /**< ids in all, special tokens and the 256 single bytes among them; default
                         32768 */
    /** How text is cut into words, by llama.cpp's name: "gpt-2" (default), "olmo", "qwen2",
     * "llama-bpe". */
    const char *pattern;
    const char *const *special; /**< special tokens, which get the first ids; default none */
    int n_special;
    const char *end; /**< the special token that ends a document; NULL (default): the first one;
                          "": none. tokenizer_config.json tells it */
    int64_t least_count; /**< pairs that occur less often are not merged; default 2 */
    ringmoe_documents documents;
    const char *key; /**< of JSON lines: of the text; default "text" */
    /** As that of ringmoe_tokenize_settings. */
    int (*progress)(void *user, double done);
    void *user;
} ringmoe_train_tokenizer_settings;

/** Fills every field with its default. Local. */
RINGMOE_API void
ringmoe_train_tokenizer_settings_default(ringmoe_train_tokenizer_settings *settings);

typedef struct ringmoe_train_tokenizer_result {
    int vocab_size; /**< less than was asked for: the text ran out of pairs */
    int64_t merges;
    int64_t words; /**< different ones */
    int64_t documents;
    int64_t bytes; /**< of text */
} ringmoe_train_tokenizer_result;

/**
 * Learns a byte-level vocabulary from texts and writes it as a tokenizer.json, which gets its
 * name when it is whole. The pair of neighbours that occurs most often becomes a token, again
 * and again; of several that occur as often it is the pair of the lowest ids, left before
 * right. A special token that is spelled in a text is not part of a word, and no merge makes
 * one. The context's threads count the words; the file does not depend on their number. Memory
 * grows with the different words, not with the text. Local.
 *   paths   in   n_paths of them: text files, or folders of them as above
 *   path    in   a folder, which is made if it is not there and gets tokenizer.json and
 *                tokenizer_config.json; or a name that ends in .json, of the former alone;
 *                no tokenizer may be there already
 *   result  out  or NULL
 * Returns OK, also when the text ran out of pairs; ARGUMENT (a vocab_size below 256 and the
 * special tokens, an unknown pattern, a special token that is empty, given twice, no UTF-8 or a
 * single byte's; an end that is none of them; a file of a tokenizer that is there; more than 2
 * GiB of different words); FILE; FORMAT (no text, a line that is no JSON object with such a
 * text, with its number); INTERRUPTED (progress said so); MEMORY.
 */
RINGMOE_API ringmoe_status
ringmoe_train_tokenizer(ringmoe_context *context, const char *const *paths, int n_paths,
                        const ringmoe_train_tokenizer_settings *settings, const char *path,
                        ringmoe_train_tokenizer_result *result);

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
/** The format they lie in: never AUTO; U16 or U32 for ids in memory. Local. */
RINGMOE_API ringmoe_token_format ringmoe_tokens_format(const ringmoe_tokens *tokens);
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
