/* SPDX-License-Identifier: MIT
 *
 * The normalizer of tokenizer.json.
 */
#include <string.h>

#include "text/tokenizer_json.h"

static const char where[] = "normalizer";

static ringmoe_status keep(ringmoe_tokenizer *tokenizer, const char *text, const char **kept,
                           int64_t *bytes, rm_error *error)
{
    *bytes = (int64_t)strlen(text);
    *kept = rm_text_pool_add(&tokenizer->texts, text, *bytes);
    if (*kept) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the normalizer");
}

static ringmoe_status add(ringmoe_tokenizer *tokenizer, rm_change change, rm_error *error)
{
    if (tokenizer->n_changes == RM_MOST_STEPS)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: more than %d steps are not done",
                       where, RM_MOST_STEPS);
    tokenizer->changes[tokenizer->n_changes++] = change;
    return RINGMOE_OK;
}

/* True for the names of the four forms. */
static bool form_of(const char *type, rm_unicode_form *form)
{
    static const char *const names[] = {"NFC", "NFD", "NFKC", "NFKD"};
    for (int i = 0; i < 4; i++)
        if (strcmp(type, names[i]) == 0) {
            *form = (rm_unicode_form)i;
            return true;
        }
    return false;
}

static ringmoe_status read_replace(ringmoe_tokenizer *tokenizer, const json_t *component,
                                   rm_error *error)
{
    rm_change change = {.kind = RM_CHANGE_REPLACE};
    const char *from, *to;
    bool is_literal;
    RM_TRY(rm_only_keys(component, where, "|type|pattern|content|", error));
    RM_TRY(rm_pattern_of(component, where, &from, &is_literal, error));
    if (!is_literal)
        return rm_not_done(where, "Replace with", json_object_get(component, "pattern"), error);
    RM_TRY(rm_text(component, where, "content", true, &to, error));
    RM_TRY(keep(tokenizer, from, &change.from, &change.n_from, error));
    RM_TRY(keep(tokenizer, to, &change.to, &change.n_to, error));
    return add(tokenizer, change, error);
}

static ringmoe_status read_prepend(ringmoe_tokenizer *tokenizer, const json_t *component,
                                   rm_error *error)
{
    rm_change change = {.kind = RM_CHANGE_PREPEND};
    const char *text;
    RM_TRY(rm_only_keys(component, where, "|type|prepend|", error));
    RM_TRY(rm_text(component, where, "prepend", true, &text, error));
    RM_TRY(keep(tokenizer, text, &change.to, &change.n_to, error));
    return add(tokenizer, change, error);
}

static ringmoe_status read_sequence(ringmoe_tokenizer *tokenizer, const json_t *component,
                                    rm_error *error)
{
    size_t i;
    json_t *part;
    const json_t *list;
    RM_TRY(rm_only_keys(component, where, "|type|normalizers|", error));
    RM_TRY(rm_list(component, where, "normalizers", &list, error));
    json_array_foreach(list, i, part) RM_TRY(rm_read_normalizer(tokenizer, part, error));
    return RINGMOE_OK;
}

ringmoe_status rm_read_normalizer(ringmoe_tokenizer *tokenizer, const json_t *component,
                                  rm_error *error)
{
    const char *type;
    rm_change change = {.kind = RM_CHANGE_FORM};
    RM_TRY(rm_type(component, where, &type, error));
    if (!type) return RINGMOE_OK;
    if (strcmp(type, "Sequence") == 0) return read_sequence(tokenizer, component, error);
    if (strcmp(type, "Replace") == 0) return read_replace(tokenizer, component, error);
    if (strcmp(type, "Prepend") == 0) return read_prepend(tokenizer, component, error);
    if (form_of(type, &change.form)) return add(tokenizer, change, error);
    return rm_not_done(where, "type", json_object_get(component, "type"), error);
}
