/* SPDX-License-Identifier: MIT
 *
 * Token files with a header. llm.c has it in front of the ids:
 *
 *   20240520 | version 1 | ids | 0 .. | uint16 ids        numbers of 32 bits, 256 of them
 *   20240801 | version 7 | ids | 0 .. | uint32 ids
 *
 * Megatron has it in a file of its own, NAME.idx, and NAME.bin is nothing but ids:
 *
 *   "MMIDIDX\0\0" | version 1 (64 bits) | type (8) | sequences (64) | documents (64)
 *   | bytes: length of each sequence (32) | where it begins in NAME.bin (64)
 *   | number of the sequence each document begins with (64)
 */
#include <stdlib.h>
#include <string.h>

#include "text/tokens.h"

const char rm_megatron_word[RM_MEGATRON_WORD] = "MMIDIDX";

static int64_t number_at(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)at[i] << (8 * i);
    return (int64_t)value;
}

char *rm_megatron_index(const char *path)
{
    size_t length = strlen(path);
    if (length < 4 || strcmp(path + length - 4, ".bin") != 0) return NULL;
    char *index = strdup(path);
    if (index) memcpy(index + length - 4, ".idx", 4);
    return index;
}

static bool is_llmc(const rm_file_map *map)
{
    if (map->size < RM_LLMC_HEADER) return false;
    int64_t magic = number_at(map->data, 4), version = number_at(map->data + 4, 4);
    return (magic == RM_LLMC_U16 && version == RM_LLMC_U16_VERSION) ||
           (magic == RM_LLMC_U32 && version == RM_LLMC_U32_VERSION);
}

/* Whether each second number of 16 bits is the high half of an id below vocab_size. Ids of 16
 * bits are not, but for a run of one small id. */
static bool looks_wide(const rm_file_map *map, int vocab_size)
{
    enum { LEAST_IDS = 16, MOST_IDS = 1 << 16 };
    int64_t n = map->size / 4, most_high = ((int64_t)vocab_size - 1) >> 16;
    bool is_wide = map->size % 4 == 0 && n >= LEAST_IDS, differs = false;
    for (int64_t i = 0; is_wide && i < n && i < MOST_IDS; i++) {
        is_wide = number_at(map->data + 4 * i + 2, 2) <= most_high;
        differs = differs || number_at(map->data + 4 * i, 2) > most_high;
    }
    return is_wide && differs;
}

ringmoe_status rm_token_file_check_width(const char *path, const rm_file_map *map,
                                         int vocab_size, rm_error *error)
{
    if (!looks_wide(map, vocab_size)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: a .bin without a header is read as ids of 16 bits, but these look like "
                   "32: end its name in .u32, or give the format u32 (u16 if they are 16)",
                   path);
}

ringmoe_token_format rm_token_file_kind(const char *path, const rm_file_map *map)
{
    rm_file_map index_map = {0};
    char *index = rm_megatron_index(path);
    bool has_index = index && rm_file_map_open(index, &index_map, NULL) == RINGMOE_OK &&
                     index_map.size >= RM_MEGATRON_HEADER &&
                     !memcmp(index_map.data, rm_megatron_word, RM_MEGATRON_WORD);
    rm_file_map_close(&index_map);
    free(index);
    if (has_index) return RINGMOE_TOKENS_MEGATRON;
    return is_llmc(map) ? RINGMOE_TOKENS_LLMC : RINGMOE_TOKENS_U16;
}

static ringmoe_status enter_llmc(const char *path, ringmoe_tokens *tokens, rm_error *error)
{
    const rm_file_map *map = &tokens->map;
    if (!is_llmc(map))
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: does not begin as a token file of llm.c does (%d version %d, or %d "
                       "version %d, and 1024 bytes of header)",
                       path, RM_LLMC_U16, RM_LLMC_U16_VERSION, RM_LLMC_U32,
                       RM_LLMC_U32_VERSION);
    tokens->width = number_at(map->data, 4) == RM_LLMC_U16 ? 2 : 4;
    tokens->count = number_at(map->data + 8, 4);
    tokens->data = map->data + RM_LLMC_HEADER;
    if (map->size == RM_LLMC_HEADER + tokens->count * tokens->width) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: has %lld bytes, but its header says %lld ids of %d bytes", path,
                   (long long)map->size, (long long)tokens->count, tokens->width);
}

/* The sequences lie one after the other, without a hole, and fill the file. */
static ringmoe_status check_sequences(const rm_file_map *index, ringmoe_tokens *tokens,
                                      rm_error *error)
{
    int64_t sequences = number_at(index->data + 18, 8),
            documents = number_at(index->data + 26, 8);
    int64_t most = index->size / 4, at = 0;
    if (sequences < 0 || sequences > most || documents < 0 || documents > most ||
        RM_MEGATRON_HEADER + 12 * sequences + 8 * documents != index->size)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%lld sequences and %lld documents do not fit its %lld bytes",
                       (long long)sequences, (long long)documents, (long long)index->size);
    const unsigned char *lengths = index->data + RM_MEGATRON_HEADER;
    const unsigned char *places = lengths + 4 * sequences;
    for (int64_t i = 0; i < sequences; i++) {
        int64_t length = number_at(lengths + 4 * i, 4);
        if (number_at(places + 8 * i, 8) != at ||
            length > (tokens->map.size - at) / tokens->width)
            return rm_fail(
                error, RINGMOE_ERROR_FORMAT,
                "sequence %lld does not follow the one before it, or ends behind the "
                "ids",
                (long long)i);
        at += length * tokens->width;
    }
    tokens->count = at / tokens->width;
    if (at == tokens->map.size) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "its sequences end at byte %lld of %lld",
                   (long long)at, (long long)tokens->map.size);
}

static ringmoe_status check_index(const rm_file_map *index, ringmoe_tokens *tokens,
                                  rm_error *error)
{
    if (index->size < RM_MEGATRON_HEADER ||
        memcmp(index->data, rm_megatron_word, RM_MEGATRON_WORD) != 0 ||
        number_at(index->data + 9, 8) != 1)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "is no index of Megatron's, version 1");
    int type = index->data[17];
    if (type != RM_MEGATRON_I32 && type != RM_MEGATRON_U16)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "ids of type %d: %d (int32) and %d (uint16) can be read", type,
                       RM_MEGATRON_I32, RM_MEGATRON_U16);
    tokens->width = type == RM_MEGATRON_I32 ? 4 : 2;
    return check_sequences(index, tokens, error);
}

static ringmoe_status enter_megatron(const char *path, ringmoe_tokens *tokens, rm_error *error)
{
    rm_file_map map;
    rm_error why = {""};
    char *index = rm_megatron_index(path);
    if (!index)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: give the .bin of NAME.bin and NAME.idx", path);
    ringmoe_status status = rm_file_map_open(index, &map, error);
    if (status == RINGMOE_OK) {
        status = check_index(&map, tokens, &why);
        if (status != RINGMOE_OK) rm_fail(error, status, "%s: %s", index, why.text);
        rm_file_map_close(&map);
    }
    free(index);
    return status;
}

ringmoe_status rm_token_file_enter(const char *path, ringmoe_tokens *tokens, rm_error *error)
{
    if (tokens->map.size == 0) return RINGMOE_OK;
    return tokens->format == RINGMOE_TOKENS_LLMC ? enter_llmc(path, tokens, error)
                                                 : enter_megatron(path, tokens, error);
}
