/* SPDX-License-Identifier: MIT
 *
 * Text to token ids and back, as Hugging Face's tokenizer.json says: byte-pair encoding, either
 * over bytes (GPT-2, Qwen, OLMoE, Llama 3) or over characters with single bytes for those that
 * are not in the vocabulary (Mixtral, Llama 2). The ids are those of the `tokenizers` library.
 *
 * A tokenizer works for one call at a time. What a file asks for that is not done here is
 * refused by name when it is opened; "truncation" and "padding" say how batches are made, not
 * how text becomes tokens, and are passed over.
 */
#ifndef RINGMOE_TOKENIZER_H
#define RINGMOE_TOKENIZER_H

#include <ringmoe/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ringmoe_tokenizer ringmoe_tokenizer;

typedef enum ringmoe_tokenizer_kind {
    RINGMOE_TOKENIZER_BYTES = 0, /**< merges bytes; GGUF's "gpt2" */
    RINGMOE_TOKENIZER_CHARACTERS =
        1, /**< merges characters, blanks as U+2581; GGUF's "llama" */
} ringmoe_tokenizer_kind;

/** What a token is; the numbers are GGUF's. */
typedef enum ringmoe_token_type {
    RINGMOE_TOKEN_NORMAL = 1,
    RINGMOE_TOKEN_UNKNOWN = 2, /**< stands for what no other token is for */
    RINGMOE_TOKEN_CONTROL =
        3,                    /**< a special token: the text's structure, none of its letters */
    RINGMOE_TOKEN_ADDED = 4,  /**< found in the text as a whole, before it is cut into words */
    RINGMOE_TOKEN_UNUSED = 5, /**< an id that no token has */
    RINGMOE_TOKEN_BYTE = 6,   /**< <0x00> to <0xFF> */
} ringmoe_token_type;

/**
 * Opens a tokenizer. Local.
 *   path  in  a tokenizer.json, or a folder with one; tokenizer_config.json,
 *             special_tokens_map.json and chat_template.jinja beside it are read too if they
 *             are there. Or a GGUF file (its name ends in .gguf)
 * Returns OK; ARGUMENT; STATE (a .gguf file without one); FILE (missing, unreadable); FORMAT
 * (damaged, or it asks for something that is not done here: the file, the key and the value are
 * named); MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_tokenizer_open(ringmoe_context *context, const char *path,
                                                  ringmoe_tokenizer **tokenizer);

/** A tokenizer as lists, which is how GGUF stores it. Texts are UTF-8 and end with NUL. */
typedef struct ringmoe_tokenizer_parts {
    ringmoe_tokenizer_kind kind;
    const char *pattern;       /**< BYTES: how text is cut into words, by llama.cpp's name
                                    ("gpt-2", "qwen2", "llama-bpe", ...); NULL: it has none for it */
    int n_tokens;              /**< ids are 0 .. n_tokens - 1 */
    const char *const *tokens; /**< as tokenizer.json spells them; ids that no token has are
                                    called [unused<id>] */
    const int32_t *types;      /**< ringmoe_token_type; NULL: all normal */
    const float *scores;       /**< CHARACTERS: of two neighbours the pair that makes the token
                                    of the highest score is merged first; NULL for BYTES */
    int n_merges;
    const char *const
        *merges; /**< BYTES: "left right" in order of merging; NULL for CHARACTERS */
    int bos, eos, unknown, padding; /**< ids; -1: none */
    int adds_bos, adds_eos;         /**< 1: encoding with RINGMOE_ENCODE_FRAME adds it */
    int adds_blank;                 /**< CHARACTERS: 1: a text begins with a blank */
    const char *chat_template;      /**< Jinja; NULL: none */
} ringmoe_tokenizer_parts;

/** Fills every field: no tokens, no special ids. Local. */
RINGMOE_API void ringmoe_tokenizer_parts_default(ringmoe_tokenizer_parts *parts);

/**
 * Makes a tokenizer from lists, which are copied. Local.
 * Returns OK; ARGUMENT (names the part: an id out of range, a merge of tokens that are not
 * there, an unknown pattern); MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_tokenizer_create(ringmoe_context *context,
                                                    const ringmoe_tokenizer_parts *parts,
                                                    ringmoe_tokenizer **tokenizer);

/** The lists of a tokenizer; they live as long as it does. Local. Returns OK; FORMAT (it does
 * something that they have no place for); MEMORY. */
RINGMOE_API ringmoe_status ringmoe_tokenizer_describe(ringmoe_tokenizer *tokenizer,
                                                      ringmoe_tokenizer_parts *parts);

/** Frees a tokenizer. Local. NULL or *tokenizer NULL: nothing. */
RINGMOE_API void ringmoe_tokenizer_destroy(ringmoe_tokenizer **tokenizer);

/** Local. */
RINGMOE_API ringmoe_tokenizer_kind
ringmoe_tokenizer_get_kind(const ringmoe_tokenizer *tokenizer);
/** Above the largest id; a model's vocabulary may be larger. Local. */
RINGMOE_API int ringmoe_tokenizer_vocab_size(const ringmoe_tokenizer *tokenizer);

/** Ids of special tokens by their part in a text, -1: there is none. Local. */
RINGMOE_API int ringmoe_tokenizer_bos(const ringmoe_tokenizer *tokenizer);
RINGMOE_API int ringmoe_tokenizer_eos(const ringmoe_tokenizer *tokenizer);
RINGMOE_API int ringmoe_tokenizer_unknown(const ringmoe_tokenizer *tokenizer);
RINGMOE_API int ringmoe_tokenizer_padding(const ringmoe_tokenizer *tokenizer);

/** The id of a token as tokenizer.json spells it, -1: there is none. Local. */
RINGMOE_API int ringmoe_tokenizer_find(const ringmoe_tokenizer *tokenizer, const char *token);
/** How tokenizer.json spells it, and what it is; NULL and UNUSED for an id that no token has.
 * Local. */
RINGMOE_API const char *ringmoe_tokenizer_spelling(const ringmoe_tokenizer *tokenizer, int id);
RINGMOE_API ringmoe_token_type ringmoe_tokenizer_type(const ringmoe_tokenizer *tokenizer,
                                                      int id);

/** How a text is encoded; flags are added up. */
enum {
    RINGMOE_ENCODE_FRAME = 1, /**< add what the tokenizer puts around a text, such as <s> */
    RINGMOE_ENCODE_PLAIN = 2, /**< the spelling of a special token in the text is text: for what
                                   comes from users. Without it, it becomes that token */
};

/**
 * Tokens of a text. Local.
 *   text, bytes  in   UTF-8, at most 1 GiB; bytes that are none count as U+FFFD, one for each
 *                     piece that began like a character (as Python's errors="replace")
 *   flags        in   RINGMOE_ENCODE_*
 *   ids, room    out  the first `room` ids; ids NULL with room 0
 *   n_ids        out  how many there are, whatever room says
 * Returns OK; ARGUMENT; FORMAT (the tokenizer's pattern needs too much work for this text);
 * MEMORY. Takes time that grows with the length, or with n log n for a single word.
 */
RINGMOE_API ringmoe_status ringmoe_tokenizer_encode(ringmoe_tokenizer *tokenizer,
                                                    const char *text, int64_t bytes, int flags,
                                                    int32_t *ids, int64_t room, int64_t *n_ids);

/**
 * The bytes of a token; characters may be spread over several tokens. Local.
 *   is_first  in   1: it begins a text, of which some tokenizers drop the first blank
 *   bytes     out  their number
 * Returns them, not ended by NUL and the tokenizer's own; for an id that no token has none.
 * Those of special tokens are their spelling: ringmoe_tokenizer_type tells which these are.
 */
RINGMOE_API const char *ringmoe_tokenizer_bytes(const ringmoe_tokenizer *tokenizer, int id,
                                                int is_first, int *bytes);

/** The chat template in Jinja, NULL: none. Local. */
RINGMOE_API const char *ringmoe_tokenizer_chat_template(const ringmoe_tokenizer *tokenizer);

typedef struct ringmoe_chat_message {
    const char *role;    /**< "system", "user", "assistant" */
    const char *content; /**< UTF-8 */
} ringmoe_chat_message;

/**
 * A conversation as the text its model was trained on, by the chat template. Encode it without
 * RINGMOE_ENCODE_FRAME: the template says all. One that asks for the date (strftime_now, Llama
 * 3.2's) gets the day of the call. Local.
 *   messages      in   n_messages of them
 *   asks_answer   in   1: the text ends where the assistant begins (add_generation_prompt)
 *   text, room    out  the first room - 1 bytes and NUL; text NULL with room 0
 *   bytes         out  how many there are, without NUL, whatever room says
 * Returns OK; ARGUMENT; STATE (no chat template); FORMAT (the template is damaged, does
 * something that is not done here, or refuses these messages: it says what); MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_tokenizer_chat(ringmoe_tokenizer *tokenizer,
                                                  const ringmoe_chat_message *messages,
                                                  int n_messages, int asks_answer, char *text,
                                                  int64_t room, int64_t *bytes);

/**
 * Writes a tokenizer into a folder that is there, durably: tokenizer.json and what was beside
 * it (tokenizer_config.json, special_tokens_map.json, chat_template.jinja and, which is its
 * model's, generation_config.json), byte by byte as they were read; of these names the ones it
 * does not have are removed there. One that was made from lists (GGUF's too) gets a
 * tokenizer.json and a tokenizer_config.json with the same ids. Of merges that scores make
 * equal the library that reads these takes the longer left part first, and not the leftmost in
 * the text: the ids of runs of one character may differ in it. Local. Returns OK; ARGUMENT;
 * FILE; MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_tokenizer_save(ringmoe_tokenizer *tokenizer,
                                                  const char *folder);

#ifdef __cplusplus
}
#endif
#endif
