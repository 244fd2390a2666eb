/* SPDX-License-Identifier: MIT
 *
 * What tokenizer.json puts around a text (post_processor), and how ids become text again
 * (decoder).
 */
#include <string.h>

#include "text/tokenizer_json.h"

/* --- the frame ------------------------------------------------------------------------------
 */

static const char frame[] = "post_processor";

static ringmoe_status put_ids(const ringmoe_tokenizer *tokenizer, const json_t *ids,
                              int32_t *list, int *n, rm_error *error)
{
    size_t i;
    json_t *id;
    json_array_foreach(ids, i, id)
    {
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value >= tokenizer->n_tokens || *n == RM_MOST_FRAME)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "%s: an id that no token has, or more than %d ids", frame,
                           RM_MOST_FRAME);
        list[(*n)++] = (int32_t)value;
    }
    if (json_array_size(ids) > 0) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: a special token without ids", frame);
}

/* A piece of "single": a special token, or the text itself. */
static ringmoe_status read_piece(ringmoe_tokenizer *tokenizer, const json_t *template,
                                 const json_t *piece, bool *is_behind, rm_error *error)
{
    const json_t *special = json_object_get(piece, "SpecialToken");
    if (json_object_get(piece, "Sequence")) {
        if (*is_behind) return rm_not_done(frame, "the text twice:", template, error);
        *is_behind = true;
        return RINGMOE_OK;
    }
    const char *name = json_string_value(json_object_get(special, "id"));
    if (!name) return rm_not_done(frame, "a piece of single:", piece, error);
    const json_t *ids = json_object_get(
        json_object_get(json_object_get(template, "special_tokens"), name), "ids");
    return *is_behind ? put_ids(tokenizer, ids, tokenizer->after, &tokenizer->n_after, error)
                      : put_ids(tokenizer, ids, tokenizer->before, &tokenizer->n_before, error);
}

static ringmoe_status read_template(ringmoe_tokenizer *tokenizer, const json_t *component,
                                    rm_error *error)
{
    size_t i;
    json_t *piece;
    bool is_behind = false;
    if (tokenizer->n_before + tokenizer->n_after > 0)
        return rm_not_done(frame, "a second template:", component, error);
    RM_TRY(rm_only_keys(component, frame, "|type|single|pair|special_tokens|", error));
    json_array_foreach(json_object_get(component, "single"), i, piece)
        RM_TRY(read_piece(tokenizer, component, piece, &is_behind, error));
    if (is_behind) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: single is without the text", frame);
}

ringmoe_status rm_read_post_processor(ringmoe_tokenizer *tokenizer, const json_t *component,
                                      rm_error *error)
{
    const char *type;
    size_t i;
    json_t *part;
    const json_t *list;
    RM_TRY(rm_type(component, frame, &type, error));
    /* ByteLevel only says where in the text a token lies. */
    if (!type || strcmp(type, "ByteLevel") == 0) return RINGMOE_OK;
    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(tokenizer, component, error);
    if (strcmp(type, "Sequence") != 0)
        return rm_not_done(frame, "type", json_object_get(component, "type"), error);
    RM_TRY(rm_only_keys(component, frame, "|type|processors|", error));
    RM_TRY(rm_list(component, frame, "processors", &list, error));
    json_array_foreach(list, i, part) RM_TRY(rm_read_post_processor(tokenizer, part, error));
    return RINGMOE_OK;
}

/* --- the decoder ----------------------------------------------------------------------------
 */

static const char decoder[] = "decoder";

static ringmoe_status read_replace(const json_t *component, rm_decoding *decoding,
                                   rm_error *error)
{
    const char *from, *to;
    bool is_literal;
    RM_TRY(rm_pattern_of(component, decoder, &from, &is_literal, error));
    RM_TRY(rm_text(component, decoder, "content", true, &to, error));
    if (!is_literal || strcmp(from, RM_BLANK_MARK) != 0 || strcmp(to, " ") != 0)
        return rm_not_done(decoder, "Replace with", component, error);
    decoding->marks_to_blanks = true;
    return RINGMOE_OK;
}

/* A whole number in 0 .. most, or nothing, which is 0. */
static bool is_integer_within(const json_t *value, json_int_t most)
{
    json_int_t number = json_integer_value(value);
    return !value || (json_is_integer(value) && number >= 0 && number <= most);
}

static ringmoe_status read_strip(ringmoe_tokenizer *tokenizer, const json_t *component,
                                 rm_error *error)
{
    const char *text;
    RM_TRY(rm_text(component, decoder, "content", true, &text, error));
    const json_t *start = json_object_get(component, "start");
    const json_t *stop = json_object_get(component, "stop");
    if (strcmp(text, " ") != 0 || !is_integer_within(start, 1) || !is_integer_within(stop, 0))
        return rm_not_done(decoder, "Strip with", component, error);
    if (json_integer_value(start) == 1) tokenizer->first_blank = RM_BLANK_GOES;
    return RINGMOE_OK;
}

static ringmoe_status read_metaspace(ringmoe_tokenizer *tokenizer, const json_t *component,
                                     rm_decoding *decoding, rm_error *error)
{
    const char *mark, *scheme;
    RM_TRY(rm_text(component, decoder, "replacement", true, &mark, error));
    RM_TRY(rm_text(component, decoder, "prepend_scheme", false, &scheme, error));
    if (strcmp(mark, RM_BLANK_MARK) != 0)
        return rm_not_done(decoder, "Metaspace with", component, error);
    decoding->marks_to_blanks = true;
    bool never = scheme ? strcmp(scheme, "never") == 0
                        : json_is_false(json_object_get(component, "add_prefix_space"));
    if (!never) tokenizer->first_blank = RM_BLANKS_GO;
    return RINGMOE_OK;
}

static ringmoe_status read_step(ringmoe_tokenizer *tokenizer, const json_t *component,
                                rm_decoding *decoding, rm_error *error)
{
    const char *type;
    size_t i;
    json_t *part;
    const json_t *list;
    RM_TRY(rm_only_keys(component, decoder,
                        "|type|decoders|pattern|content|start|stop|replacement|str_rep|"
                        "prepend_scheme|add_prefix_space|split|trim_offsets|use_regex|",
                        error));
    RM_TRY(rm_type(component, decoder, &type, error));
    if (!type || strcmp(type, "Fuse") == 0) return RINGMOE_OK;
    bool is_byte_level = strcmp(type, "ByteLevel") == 0;
    bool has_byte_tokens = strcmp(type, "ByteFallback") == 0;
    decoding->byte_level |= is_byte_level;
    decoding->byte_tokens |= has_byte_tokens;
    if (is_byte_level || has_byte_tokens) return RINGMOE_OK;
    if (strcmp(type, "Replace") == 0) return read_replace(component, decoding, error);
    if (strcmp(type, "Strip") == 0) return read_strip(tokenizer, component, error);
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(tokenizer, component, decoding, error);
    if (strcmp(type, "Sequence") != 0)
        return rm_not_done(decoder, "type", json_object_get(component, "type"), error);
    RM_TRY(rm_list(component, decoder, "decoders", &list, error));
    json_array_foreach(list, i, part) RM_TRY(read_step(tokenizer, part, decoding, error));
    return RINGMOE_OK;
}

ringmoe_status rm_read_decoder(ringmoe_tokenizer *tokenizer, const json_t *component,
                               rm_error *error)
{
    rm_decoding decoding = {.byte_level = tokenizer->kind == RINGMOE_TOKENIZER_BYTES};
    if (component && !json_is_null(component)) decoding.byte_level = false;
    RM_TRY(read_step(tokenizer, component, &decoding, error));
    return rm_tokenizer_decode(tokenizer, decoding, error);
}
