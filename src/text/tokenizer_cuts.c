/* SPDX-License-Identifier: MIT
 *
 * The pre_tokenizer of tokenizer.json, and the patterns that have names.
 */
#include <string.h>

#include "text/tokenizer_json.h"

static const char where[] = "pre_tokenizer";

const char rm_pattern_gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|"
                               " ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
static const char pattern_qwen2[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char pattern_llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const rm_named_pattern rm_named_patterns[] = {
    {"gpt-2", rm_pattern_gpt2, false, false},
    {"olmo", rm_pattern_gpt2, true, false},
    {"qwen2", pattern_qwen2, true, false},
    {"llama-bpe", pattern_llama3, false, true},
    {NULL, NULL, false, false},
};

static ringmoe_status add(ringmoe_tokenizer *tokenizer, rm_cut cut, rm_error *error)
{
    if (tokenizer->n_cuts == RM_MOST_STEPS)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: more than %d steps are not done",
                       where, RM_MOST_STEPS);
    tokenizer->cuts[tokenizer->n_cuts++] = cut;
    return RINGMOE_OK;
}

/* A blank in front comes before the pattern sees the text. */
static ringmoe_status read_byte_level(ringmoe_tokenizer *tokenizer, const json_t *component,
                                      rm_error *error)
{
    bool has_front, has_pattern, ignored;
    rm_cut cut = {.kind = RM_CUT_BYTES};
    RM_TRY(rm_only_keys(component, where, "|type|add_prefix_space|trim_offsets|use_regex|",
                        error));
    RM_TRY(rm_flag(component, where, "add_prefix_space", true, &has_front, error));
    RM_TRY(rm_flag(component, where, "trim_offsets", true, &ignored, error));
    RM_TRY(rm_flag(component, where, "use_regex", true, &has_pattern, error));
    if (has_front) cut.front = RM_FRONT_ALWAYS;
    tokenizer->kind = RINGMOE_TOKENIZER_BYTES;
    RM_TRY(add(tokenizer, cut, error));
    if (!has_pattern) return RINGMOE_OK;
    return rm_tokenizer_add_pattern(tokenizer, rm_pattern_gpt2, false, (rm_cut){0}, error);
}

static ringmoe_status read_split(ringmoe_tokenizer *tokenizer, const json_t *component,
                                 rm_error *error)
{
    const char *text, *behavior;
    bool is_literal;
    rm_cut cut = {.matches = RM_MATCHES_STAY};
    RM_TRY(rm_only_keys(component, where, "|type|pattern|behavior|invert|", error));
    RM_TRY(rm_pattern_of(component, where, &text, &is_literal, error));
    RM_TRY(rm_text(component, where, "behavior", true, &behavior, error));
    RM_TRY(rm_flag(component, where, "invert", false, &cut.inverted, error));
    if (strcmp(behavior, "Removed") == 0)
        cut.matches = RM_MATCHES_GO;
    else if (strcmp(behavior, "MergedWithPrevious") == 0)
        cut.matches = RM_MATCHES_END;
    else if (strcmp(behavior, "Isolated") != 0)
        return rm_not_done(where, "behavior", json_object_get(component, "behavior"), error);
    return rm_tokenizer_add_pattern(tokenizer, text, is_literal, cut, error);
}

static ringmoe_status read_digits(ringmoe_tokenizer *tokenizer, const json_t *component,
                                  rm_error *error)
{
    bool single;
    RM_TRY(rm_only_keys(component, where, "|type|individual_digits|", error));
    RM_TRY(rm_flag(component, where, "individual_digits", false, &single, error));
    return rm_tokenizer_add_pattern(tokenizer, single ? "\\p{N}" : "\\p{N}+", false,
                                    (rm_cut){0}, error);
}

/* Older files say add_prefix_space where newer ones say prepend_scheme. */
static ringmoe_status read_front(const json_t *component, rm_cut_front *front, rm_error *error)
{
    static const char *const schemes[] = {"never", "always", "first"};
    const char *scheme;
    bool always;
    RM_TRY(rm_text(component, where, "prepend_scheme", false, &scheme, error));
    RM_TRY(rm_flag(component, where, "add_prefix_space", true, &always, error));
    *front = always ? RM_FRONT_ALWAYS : RM_FRONT_NEVER;
    if (!scheme) return RINGMOE_OK;
    for (int i = 0; i < 3; i++)
        if (strcmp(scheme, schemes[i]) == 0) {
            *front = (rm_cut_front)i;
            return RINGMOE_OK;
        }
    return rm_not_done(where, "prepend_scheme", json_object_get(component, "prepend_scheme"),
                       error);
}

static ringmoe_status read_metaspace(ringmoe_tokenizer *tokenizer, const json_t *component,
                                     rm_error *error)
{
    const char *mark;
    rm_cut cut = {.kind = RM_CUT_BLANKS};
    RM_TRY(rm_only_keys(component, where,
                        "|type|replacement|str_rep|prepend_scheme|add_prefix_space|split|",
                        error));
    RM_TRY(rm_text(component, where, "replacement", true, &mark, error));
    if (strcmp(mark, RM_BLANK_MARK) != 0)
        return rm_not_done(where, "replacement", json_object_get(component, "replacement"),
                           error);
    RM_TRY(read_front(component, &cut.front, error));
    RM_TRY(rm_flag(component, where, "split", true, &cut.splits, error));
    return add(tokenizer, cut, error);
}

static ringmoe_status read_sequence(ringmoe_tokenizer *tokenizer, const json_t *component,
                                    rm_error *error)
{
    size_t i;
    json_t *part;
    const json_t *list;
    RM_TRY(rm_only_keys(component, where, "|type|pretokenizers|", error));
    RM_TRY(rm_list(component, where, "pretokenizers", &list, error));
    json_array_foreach(list, i, part)
    {
        if (tokenizer->kind == RINGMOE_TOKENIZER_BYTES)
            return rm_not_done(where, "after ByteLevel", part, error);
        RM_TRY(rm_read_pre_tokenizer(tokenizer, part, error));
    }
    return RINGMOE_OK;
}

ringmoe_status rm_read_pre_tokenizer(ringmoe_tokenizer *tokenizer, const json_t *component,
                                     rm_error *error)
{
    static const struct {
        const char *type;
        ringmoe_status (*read)(ringmoe_tokenizer *, const json_t *, rm_error *);
    } readers[] = {{"Sequence", read_sequence},
                   {"ByteLevel", read_byte_level},
                   {"Split", read_split},
                   {"Digits", read_digits},
                   {"Metaspace", read_metaspace}};
    const char *type;
    RM_TRY(rm_type(component, where, &type, error));
    if (!type) return RINGMOE_OK;
    for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++)
        if (strcmp(type, readers[i].type) == 0)
            return readers[i].read(tokenizer, component, error);
    return rm_not_done(where, "type", json_object_get(component, "type"), error);
}
