/* SPDX-License-Identifier: MIT
 *
 * A tokenizer that was made from lists as tokenizer.json, with the stages that the models of
 * its kind have, and as tokenizer_config.json, which names its special tokens. Every token is
 * in the model's vocabulary, so that all have the ids of the lists. Merges are "left right",
 * which readers of every age know, unless a token has a blank in it.
 */
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool put(rm_bytes *to, const char *text)
{
    return rm_bytes_add(to, text, (int64_t)strlen(text));
}

/* Bytes of UTF-8 between the quotes of JSON. */
static bool put_escaped(rm_bytes *to, const char *text)
{
    for (; *text; text++) {
        char escaped[8];
        unsigned char byte = (unsigned char)*text;
        bool is_plain = byte >= ' ' && byte != '"' && byte != '\\';
        if (!is_plain) snprintf(escaped, sizeof escaped, "\\u%04x", byte);
        if (!(is_plain ? rm_bytes_add(to, text, 1) : put(to, escaped))) return false;
    }
    return true;
}

static bool put_quoted(rm_bytes *to, const char *text)
{
    return put(to, "\"") && put_escaped(to, text) && put(to, "\"");
}

static const char *spelling(const ringmoe_tokenizer *tokenizer, int32_t id)
{
    return tokenizer->tokens[id].spelling;
}

/* --- tokens that are looked for in texts, and those around a text ---------------------------
 */

static bool put_added(rm_bytes *to, const ringmoe_tokenizer *tokenizer)
{
    const rm_added_tokens *added = &tokenizer->raw;
    bool done = put(to, "  \"added_tokens\": [");
    for (int32_t i = 0; done && i < added->n_tokens; i++) {
        char line[64];
        int32_t id = added->tokens[i].id;
        snprintf(line, sizeof line, "%s\n    {\"id\": %d, \"content\": ", i ? "," : "",
                 (int)id);
        done = put(to, line) && put_quoted(to, spelling(tokenizer, id)) &&
               put(to, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                       "\"normalized\": false, \"special\": ") &&
               put(to, added->tokens[i].is_special ? "true}" : "false}");
    }
    return done && put(to, added->n_tokens ? "\n  ],\n" : "],\n");
}

/* Tokens of a template, each with a comma behind it, or before it. */
static bool put_pieces(rm_bytes *to, const ringmoe_tokenizer *tokenizer, const int32_t *ids,
                       int n, bool is_behind)
{
    bool done = true;
    for (int i = 0; done && i < n; i++)
        done = put(to, is_behind ? ", " : "") && put(to, "{\"SpecialToken\": {\"id\": ") &&
               put_quoted(to, spelling(tokenizer, ids[i])) && put(to, ", \"type_id\": 0}}") &&
               put(to, is_behind ? "" : ", ");
    return done;
}

static bool put_text_piece(rm_bytes *to, const ringmoe_tokenizer *tokenizer, const char *piece)
{
    return put_pieces(to, tokenizer, tokenizer->before, tokenizer->n_before, false) &&
           put(to, piece) &&
           put_pieces(to, tokenizer, tokenizer->after, tokenizer->n_after, true);
}

/* What a template's tokens mean. */
static bool put_meanings(rm_bytes *to, const ringmoe_tokenizer *tokenizer, const int32_t *ids,
                         int n, bool has_some)
{
    bool done = true;
    for (int i = 0; done && i < n; i++) {
        char number[32];
        snprintf(number, sizeof number, ", \"ids\": [%d]", (int)ids[i]);
        done = put(to, has_some || i ? ", " : "") &&
               put_quoted(to, spelling(tokenizer, ids[i])) && put(to, ": {\"id\": ") &&
               put_quoted(to, spelling(tokenizer, ids[i])) && put(to, number) &&
               put(to, ", \"tokens\": [") && put_quoted(to, spelling(tokenizer, ids[i])) &&
               put(to, "]}");
    }
    return done;
}

static bool put_template(rm_bytes *to, const ringmoe_tokenizer *tokenizer)
{
    static const char first[] = "{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}";
    static const char second[] = "{\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}";
    bool is_same = tokenizer->n_before && tokenizer->n_after &&
                   tokenizer->before[0] == tokenizer->after[0];
    return put(to, "{\"type\": \"TemplateProcessing\",\n    \"single\": [") &&
           put_text_piece(to, tokenizer, first) && put(to, "],\n    \"pair\": [") &&
           put_text_piece(to, tokenizer, first) && put(to, ", ") &&
           put_text_piece(to, tokenizer, second) && put(to, "],\n    \"special_tokens\": {") &&
           put_meanings(to, tokenizer, tokenizer->before, tokenizer->n_before, false) &&
           put_meanings(to, tokenizer, tokenizer->after, is_same ? 0 : tokenizer->n_after,
                        tokenizer->n_before > 0) &&
           put(to, "}}");
}

/* --- stages ---------------------------------------------------------------------------------
 */

static const char byte_level[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                                 "\"trim_offsets\": false, \"use_regex\": ";

/* GPT-2's pattern is ByteLevel's own. */
static bool put_byte_stages(rm_bytes *to, const ringmoe_tokenizer *tokenizer)
{
    const char *pattern = tokenizer->cuts[0].text;
    bool is_own = strcmp(pattern, rm_pattern_gpt2) == 0;
    bool done = put(to, "  \"normalizer\": ") &&
                put(to, tokenizer->n_changes ? "{\"type\": \"NFC\"}" : "null") &&
                put(to, ",\n  \"pre_tokenizer\": ");
    if (done && !is_own)
        done =
            put(to, "{\"type\": \"Sequence\", \"pretokenizers\": [\n    {\"type\": \"Split\", "
                    "\"pattern\": {\"Regex\": ") &&
            put_quoted(to, pattern) &&
            put(to, "}, \"behavior\": \"Isolated\", \"invert\": false},\n    ");
    return done && put(to, byte_level) && put(to, is_own ? "true}" : "false}\n  ]}") &&
           put(to, ",\n  \"decoder\": ") && put(to, byte_level) && put(to, "false},\n");
}

static bool put_character_stages(rm_bytes *to, const ringmoe_tokenizer *tokenizer)
{
    bool adds_blank = tokenizer->first_blank == RM_BLANK_GOES;
    return put(to, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [\n    ") &&
           put(to, adds_blank ? "{\"type\": \"Prepend\", \"prepend\": \"" RM_BLANK_MARK "\"}, "
                              : "") &&
           put(to, "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": "
                   "\"" RM_BLANK_MARK "\"}\n  ]},\n  \"pre_tokenizer\": null,\n"
                   "  \"decoder\": {\"type\": \"Sequence\", \"decoders\": [\n"
                   "    {\"type\": \"Replace\", \"pattern\": {\"String\": \"" RM_BLANK_MARK
                   "\"}, \"content\": \" \"},\n"
                   "    {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}") &&
           put(to, adds_blank ? ",\n    {\"type\": \"Strip\", \"content\": \" \", "
                                "\"start\": 1, \"stop\": 0}"
                              : "") &&
           put(to, "\n  ]},\n");
}

static bool put_post_processor(rm_bytes *to, const ringmoe_tokenizer *tokenizer)
{
    bool is_bytes = tokenizer->kind == RINGMOE_TOKENIZER_BYTES;
    bool has_frame = tokenizer->n_before + tokenizer->n_after > 0;
    bool done = put(to, "  \"post_processor\": ");
    if (is_bytes && has_frame)
        done = done && put(to, "{\"type\": \"Sequence\", \"processors\": [\n    ");
    if (is_bytes) done = done && put(to, byte_level) && put(to, "false}");
    if (is_bytes && has_frame) done = done && put(to, ",\n    ");
    if (has_frame) done = done && put_template(to, tokenizer);
    if (is_bytes && has_frame) done = done && put(to, "\n  ]}");
    if (!is_bytes && !has_frame) done = done && put(to, "null");
    return done && put(to, ",\n");
}

/* --- the model ------------------------------------------------------------------------------
 */

static bool put_vocabulary(rm_bytes *to, const ringmoe_tokenizer *tokenizer)
{
    bool done = put(to, "    \"vocab\": {"), has_some = false;
    for (int id = 0; done && id < tokenizer->n_tokens; id++) {
        char end[32];
        if (!spelling(tokenizer, id)) continue;
        snprintf(end, sizeof end, ": %d", id);
        done = put(to, has_some ? ",\n      " : "\n      ") &&
               put_quoted(to, spelling(tokenizer, id)) && put(to, end);
        has_some = true;
    }
    return done && put(to, "\n    },\n");
}

/* A merge, and by how many characters it puts together. */
typedef struct ordered_merge {
    rm_merge merge;
    int32_t n_left, n_right;
    int64_t place;
} ordered_merge;

static int32_t count_characters(const char *text)
{
    int32_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

/* Scores make several merges equal; a list has them in the order in which transformers writes
 * the merges of a sentencepiece model: the longer left part first. */
static int compare_merges(const void *a, const void *b)
{
    const ordered_merge *x = a, *y = b;
    if (x->merge.rank != y->merge.rank) return x->merge.rank < y->merge.rank ? -1 : 1;
    if (x->n_left != y->n_left) return x->n_left > y->n_left ? -1 : 1;
    if (x->n_right != y->n_right) return x->n_right > y->n_right ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* In new memory; NULL: there is none. */
static ordered_merge *order_merges(const ringmoe_tokenizer *tokenizer, bool *has_blanks)
{
    size_t n = (size_t)tokenizer->n_merges;
    ordered_merge *list = malloc((n + 1) * sizeof *list);
    *has_blanks = false;
    for (size_t i = 0; list && i < n; i++) {
        const rm_merge *merge = &tokenizer->merge_list[i];
        const char *left = spelling(tokenizer, merge->left);
        const char *right = spelling(tokenizer, merge->right);
        list[i] = (ordered_merge){*merge, count_characters(left), count_characters(right),
                                  (int64_t)i};
        *has_blanks = *has_blanks || strchr(left, ' ') || strchr(right, ' ');
    }
    if (list) qsort(list, n, sizeof *list, compare_merges);
    return list;
}

static bool put_merge(rm_bytes *to, const ringmoe_tokenizer *tokenizer, const rm_merge *merge,
                      bool as_list)
{
    return put(to, as_list ? "[\"" : "\"") &&
           put_escaped(to, spelling(tokenizer, merge->left)) &&
           put(to, as_list ? "\", \"" : " ") &&
           put_escaped(to, spelling(tokenizer, merge->right)) &&
           put(to, as_list ? "\"]" : "\"");
}

static bool put_merges(rm_bytes *to, const ringmoe_tokenizer *tokenizer)
{
    bool has_blanks;
    ordered_merge *list = order_merges(tokenizer, &has_blanks);
    bool done = list && put(to, "    \"merges\": [");
    for (int64_t i = 0; done && i < tokenizer->n_merges; i++)
        done = put(to, i ? ",\n      " : "\n      ") &&
               put_merge(to, tokenizer, &list[i].merge, has_blanks);
    free(list);
    return done && put(to, "\n    ]\n");
}

static bool put_model(rm_bytes *to, const ringmoe_tokenizer *tokenizer)
{
    bool done = put(to, "  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, "
                        "\"unk_token\": ");
    done = done &&
           (tokenizer->unknown >= 0 ? put_quoted(to, spelling(tokenizer, tokenizer->unknown))
                                    : put(to, "null"));
    return done &&
           put(to, ", \"continuing_subword_prefix\": null,\n"
                   "    \"end_of_word_suffix\": null, \"fuse_unk\": ") &&
           put(to, tokenizer->fuses_unknown ? "true" : "false") &&
           put(to, ", \"byte_fallback\": ") &&
           put(to, tokenizer->falls_back ? "true" : "false") &&
           put(to, ", \"ignore_merges\": ") &&
           put(to, tokenizer->takes_whole_words ? "true,\n" : "false,\n") &&
           put_vocabulary(to, tokenizer) && put_merges(to, tokenizer) && put(to, "  }\n}\n");
}

static bool put_tokenizer(rm_bytes *to, const ringmoe_tokenizer *tokenizer)
{
    bool is_bytes = tokenizer->kind == RINGMOE_TOKENIZER_BYTES;
    return put(to, "{\n  \"version\": \"1.0\", \"truncation\": null, \"padding\": null,\n") &&
           put_added(to, tokenizer) &&
           (is_bytes ? put_byte_stages(to, tokenizer) : put_character_stages(to, tokenizer)) &&
           put_post_processor(to, tokenizer) && put_model(to, tokenizer);
}

/* --- beside it ------------------------------------------------------------------------------
 */

static bool put_config(rm_bytes *to, const ringmoe_tokenizer *tokenizer)
{
    const struct {
        const char *key;
        int id;
    } tokens[] = {{"bos_token", tokenizer->bos},
                  {"eos_token", tokenizer->eos},
                  {"unk_token", ringmoe_tokenizer_unknown(tokenizer)},
                  {"pad_token", tokenizer->padding}};
    bool done = put(to, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
                        "  \"clean_up_tokenization_spaces\": false");
    for (int i = 0; done && i < 4; i++) {
        const char *text = ringmoe_tokenizer_spelling(tokenizer, tokens[i].id);
        if (!text) continue;
        done = put(to, ",\n  \"") && put(to, tokens[i].key) && put(to, "\": ") &&
               put_quoted(to, text);
    }
    const char *template = tokenizer->chat_template;
    int64_t n = template ? (int64_t)strlen(template) : 0;
    /* One that is no UTF-8 renders nothing, and would be no JSON. */
    if (done && template && rm_utf8_valid(template, n) == n)
        done = put(to, ",\n  \"chat_template\": ") && put_quoted(to, template);
    return done && put(to, "\n}\n");
}

ringmoe_status rm_tokenizer_fill_files(ringmoe_tokenizer *tokenizer, rm_error *error)
{
    rm_bytes texts[2] = {{0}, {0}};
    if (tokenizer->files[0].content) return RINGMOE_OK;
    bool done = put_tokenizer(&texts[0], tokenizer) && put_config(&texts[1], tokenizer);
    for (int i = 0; i < 2; i++) {
        if (done)
            tokenizer->files[i] = (rm_tokenizer_file){texts[i].data, texts[i].count};
        else
            rm_bytes_free(&texts[i]);
    }
    if (done) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a tokenizer.json");
}
