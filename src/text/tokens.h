/* SPDX-License-Identifier: MIT
 *
 * Token streams by their insides (public functions in ringmoe/data.h). A stream is a run of
 * little-endian ids of 1, 2 or 4 bytes that lie in a mapped file, in memory of the stream's
 * own, or in the stream it was split from.
 */
#ifndef RM_TOKENS_H
#define RM_TOKENS_H

#include <ringmoe/data.h>

#include "base/files.h"

struct ringmoe_tokens {
    const unsigned char *data; /* count * width bytes */
    int64_t count;
    int width; /* bytes of an id; 1: text */
    ringmoe_token_format format;
    double entropy;     /* nats a token; NaN: unknown */
    rm_file_map map;    /* of a single file, else zeroed */
    unsigned char *own; /* of a folder or a synthetic language, else NULL */
};

/* What the two formats of llm.c have in front of the ids, as 32-bit numbers of 256. */
enum { RM_LLMC_HEADER = 1024, RM_LLMC_U16 = 20240520, RM_LLMC_U32 = 20240801 };
enum { RM_LLMC_U16_VERSION = 1, RM_LLMC_U32_VERSION = 7 };
/* And Megatron's index: the word, a version, a code of the ids' type, two counts. */
enum {
    RM_MEGATRON_WORD = 9,
    RM_MEGATRON_HEADER = 34,
    RM_MEGATRON_I32 = 4,
    RM_MEGATRON_U16 = 8
};
extern const char rm_megatron_word[RM_MEGATRON_WORD];

/* Finds out what a mapped .bin file is. */
ringmoe_token_format rm_token_file_kind(const char *path, const rm_file_map *map);
/* FORMAT: a file that is taken for ids of 16 bits looks like one of 32. */
ringmoe_status rm_token_file_check_width(const char *path, const rm_file_map *map,
                                         int vocab_size, rm_error *error);
/* Finds the ids in a mapped file of llm.c's or Megatron's: data, count and width. FORMAT, FILE,
 * MEMORY. */
ringmoe_status rm_token_file_enter(const char *path, ringmoe_tokens *tokens, rm_error *error);
/* The name of Megatron's index, in new memory; NULL: `path` does not end in .bin, or no memory.
 */
char *rm_megatron_index(const char *path);

/* Ids of a stretch of text, and after how many of them documents end. */
typedef struct rm_id_run {
    int32_t *ids;
    int64_t n, room;
    int64_t *ends;
    int64_t n_ends, end_room;
} rm_id_run;
/* Where ids go as they come. */
typedef struct rm_token_sink {
    ringmoe_status (*put)(struct rm_token_sink *sink, const rm_id_run *run, rm_error *error);
    struct rm_word_counts *words; /* [threads] where words are counted, and no ids made of them;
                                     NULL: they become ids */
    int64_t first, end; /* bytes of all files, one after the other: only what begins in there is
                           encoded; end 0: everything is */
} rm_token_sink;
/* Encodes the files by so many threads and puts the ids out in order. Whatever the bounds, what
 * parts of a text give makes what the whole gives. FORMAT: no ids in everything. */
ringmoe_status rm_tokenize(int n_threads, const ringmoe_tokenizer *tokenizer,
                           char *const *files, const ringmoe_tokenize_settings *settings,
                           rm_token_sink *sink, ringmoe_tokenize_result *result,
                           rm_error *error);

/* FORMAT: they have no text. */
ringmoe_status rm_tokenize_fail_empty(char *const *files, rm_error *error);
/* ARGUMENT: settings that ask for nothing, or for what there is not. */
ringmoe_status rm_tokenize_check(const ringmoe_tokenizer *tokenizer, int n_paths,
                                 const ringmoe_tokenize_settings *settings, rm_error *error);
/* An id of so many bytes, the lowest first. */
static inline void rm_token_store(unsigned char *to, int32_t id, int width)
{
    for (int i = 0; i < width; i++) to[i] = (unsigned char)((uint32_t)id >> (8 * i));
}
/* The largest vocabulary whose ids have 2 bytes. */
enum { RM_MOST_U16 = 65536 };

/* The regular files of folders, and what is none as it is, in new memory: a list that ends with
 * NULL. Files that are one of `outputs` (ends with NULL) are left out. ARGUMENT: a path is one;
 * FORMAT: there are none. */
ringmoe_status rm_text_files(const char *const *paths, int n_paths, const char *const *outputs,
                             char ***files, rm_error *error);
void rm_text_files_free(char ***files);
ringmoe_status rm_files_size(char *const *files, int64_t *bytes, rm_error *error);

/* Without a context's error. Copies ids; bounds are the caller's duty. */
void rm_tokens_copy(const ringmoe_tokens *tokens, int64_t first, int64_t count, int32_t *ids);

/* The regular files below a folder, joined by newlines, in new memory. */
ringmoe_status rm_folder_read_text(const char *path, unsigned char **text, int64_t *size,
                                   rm_error *error);

/* ringmoe_tokens_synthetic's content: n bytes of the seed's language; returns its entropy in
 * nats a byte. */
double rm_language_write(int64_t seed, int64_t n, unsigned char *text);

#endif
