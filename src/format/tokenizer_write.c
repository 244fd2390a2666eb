/* SPDX-License-Identifier: MIT
 *
 * A learned vocabulary as tokenizer.json, with the stages that the models of its pattern have.
 * Merges are "left right", which readers of every age know.
 */
#include "format/tokenizer_write.h"

#include <stdio.h>
#include <string.h>

static bool put(rm_bytes *to, const char *text)
{
    return rm_bytes_add(to, text, (int64_t)strlen(text));
}

/* Bytes of UTF-8 between the quotes of JSON. */
static bool put_escaped(rm_bytes *to, const char *text, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        char escaped[8];
        unsigned char byte = (unsigned char)text[i];
        bool is_plain = byte >= ' ' && byte != '"' && byte != '\\';
        if (!is_plain) snprintf(escaped, sizeof escaped, "\\u%04x", byte);
        if (!(is_plain ? rm_bytes_add(to, text + i, 1) : put(to, escaped))) return false;
    }
    return true;
}

static bool put_quoted(rm_bytes *to, const char *text)
{
    return put(to, "\"") && put_escaped(to, text, (int64_t)strlen(text)) && put(to, "\"");
}

static bool put_spelling(rm_bytes *to, const rm_learned_token *token)
{
    for (int64_t i = 0; i < token->n; i++) {
        char spelling[2];
        int n = rm_byte_level_encode((unsigned char)token->bytes[i], spelling);
        if (!put_escaped(to, spelling, n)) return false;
    }
    return true;
}

static bool put_added(rm_bytes *to, const char *const *special, int n)
{
    bool done = put(to, "  \"added_tokens\": [");
    for (int id = 0; done && id < n; id++) {
        char line[160];
        snprintf(line, sizeof line, "%s\n    {\"id\": %d, \"content\": ", id ? "," : "", id);
        done = put(to, line) && put_quoted(to, special[id]) &&
               put(to, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
                       "\"normalized\": false, \"special\": true}");
    }
    return done && put(to, n ? "\n  ],\n" : "],\n");
}

/* GPT-2's pattern is ByteLevel's own. */
static bool put_stages(rm_bytes *to, const rm_named_pattern *pattern)
{
    static const char byte_level[] = "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
                                     "\"trim_offsets\": false, \"use_regex\": ";
    bool is_own = strcmp(pattern->text, rm_pattern_gpt2) == 0;
    bool done = put(to, "  \"normalizer\": ") &&
                put(to, pattern->is_composed ? "{\"type\": \"NFC\"}" : "null") &&
                put(to, ",\n  \"pre_tokenizer\": ");
    if (done && !is_own)
        done =
            put(to, "{\"type\": \"Sequence\", \"pretokenizers\": [\n    {\"type\": \"Split\", "
                    "\"pattern\": {\"Regex\": ") &&
            put_quoted(to, pattern->text) &&
            put(to, "}, \"behavior\": \"Isolated\", \"invert\": false},\n    ");
    return done && put(to, byte_level) && put(to, is_own ? "true}" : "false}\n  ]}") &&
           put(to, ",\n  \"post_processor\": ") && put(to, byte_level) &&
           put(to, "false},\n  \"decoder\": ") && put(to, byte_level) && put(to, "false},\n");
}

static bool put_vocabulary(rm_bytes *to, const rm_vocabulary *vocabulary,
                           const char *const *special)
{
    bool done = put(to, "    \"vocab\": {");
    for (int id = 0; done && id < vocabulary->n_tokens; id++) {
        char end[32];
        snprintf(end, sizeof end, "\": %d", id);
        done = put(to, id ? ",\n      \"" : "\n      \"");
        if (done && id < vocabulary->n_special)
            done = put_escaped(to, special[id], (int64_t)strlen(special[id]));
        else if (done)
            done = put_spelling(to, &vocabulary->tokens[id]);
        done = done && put(to, end);
    }
    return done && put(to, "\n    },\n");
}

static bool put_merges(rm_bytes *to, const rm_vocabulary *vocabulary)
{
    bool done = put(to, "    \"merges\": [");
    for (int64_t i = 0; done && i < vocabulary->n_merges; i++) {
        const rm_merge *merge = &vocabulary->merges[i];
        done = put(to, i ? ",\n      \"" : "\n      \"") &&
               put_spelling(to, &vocabulary->tokens[merge->left]) && put(to, " ") &&
               put_spelling(to, &vocabulary->tokens[merge->right]) && put(to, "\"");
    }
    return done && put(to, vocabulary->n_merges ? "\n    ]\n" : "]\n");
}

bool rm_tokenizer_write(const rm_vocabulary *vocabulary, const char *const *special,
                        const rm_named_pattern *pattern, rm_bytes *text)
{
    return put(text, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n"
                     "  \"padding\": null,\n") &&
           put_added(text, special, vocabulary->n_special) && put_stages(text, pattern) &&
           put(text, "  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, "
                     "\"unk_token\": null, \"continuing_subword_prefix\": null,\n"
                     "    \"end_of_word_suffix\": null, \"fuse_unk\": false, "
                     "\"byte_fallback\": false, \"ignore_merges\": ") &&
           put(text, pattern->takes_whole_words ? "true,\n" : "false,\n") &&
           put_vocabulary(text, vocabulary, special) && put_merges(text, vocabulary) &&
           put(text, "  }\n}\n");
}
