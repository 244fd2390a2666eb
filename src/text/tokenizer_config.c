/* SPDX-License-Identifier: MIT
 *
 * What lies beside tokenizer.json: which tokens begin and end a text, and the chat template.
 */
#include <string.h>

#include "text/tokenizer_json.h"

const char *const rm_tokenizer_file_names[RM_TOKENIZER_FILES] = {
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "generation_config.json"};
enum { CONFIG_FILE = 1, MAP_FILE = 2, TEMPLATE_FILE = 3 };

static const rm_json_limits limits = {
    .bytes = (int64_t)1 << 26, .values = (int64_t)1 << 20, .depth = 32};

/* The id of a token that is given by its text, or by an object with "content". */
static void take_id(const ringmoe_tokenizer *tokenizer, const json_t *root, const char *key,
                    int *id)
{
    const json_t *value = json_object_get(root, key);
    const char *text =
        json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    if (*id < 0 && text)
        *id = rm_text_map_find(&tokenizer->spelled, text, (int64_t)strlen(text));
}

/* A text, or a list of texts with names, of which "default" is the one to take. */
static const char *template_text(const json_t *root)
{
    const json_t *value = json_object_get(root, "chat_template");
    size_t i;
    json_t *entry;
    if (json_is_string(value)) return json_string_value(value);
    json_array_foreach(value, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(entry, "template"));
    }
    return NULL;
}

static ringmoe_status keep_template(ringmoe_tokenizer *tokenizer, const char *text,
                                    int64_t bytes, rm_error *error)
{
    tokenizer->chat_template = rm_text_pool_add(&tokenizer->texts, text, bytes);
    if (tokenizer->chat_template) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the chat template");
}

static ringmoe_status read_file(ringmoe_tokenizer *tokenizer, int which, rm_error *error)
{
    const rm_tokenizer_file *file = &tokenizer->files[which];
    json_t *root = NULL;
    rm_error why = {""};
    ringmoe_status status = rm_json_parse(file->content, file->bytes, &limits, &root, &why);
    if (status != RINGMOE_OK)
        return rm_fail(error, status, "%s: %s", rm_tokenizer_file_names[which], why.text);
    take_id(tokenizer, root, "bos_token", &tokenizer->bos);
    take_id(tokenizer, root, "eos_token", &tokenizer->eos);
    take_id(tokenizer, root, "pad_token", &tokenizer->padding);
    take_id(tokenizer, root, "unk_token", &tokenizer->unknown_name);
    const char *text = template_text(root);
    if (text && !tokenizer->chat_template)
        status = keep_template(tokenizer, text, (int64_t)strlen(text), error);
    json_decref(root);
    return status;
}

ringmoe_status rm_read_tokenizer_config(ringmoe_tokenizer *tokenizer, rm_error *error)
{
    const rm_tokenizer_file *template = &tokenizer->files[TEMPLATE_FILE];
    if (template->content)
        RM_TRY(keep_template(tokenizer, template->content, template->bytes, error));
    for (int which = CONFIG_FILE; which <= MAP_FILE; which++)
        if (tokenizer->files[which].content) RM_TRY(read_file(tokenizer, which, error));
    return RINGMOE_OK;
}
