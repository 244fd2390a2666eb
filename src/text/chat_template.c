/* SPDX-License-Identifier: MIT
 *
 * A conversation through its model's chat template.
 */
#include "text/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "comm/context.h"
#include "format/printable.h"
#include "text/tokenizer.h"

static rm_value text_of(const char *text)
{
    return rm_value_text(text, (int64_t)strlen(text));
}

/* A token's spelling as a variable; one that there is not stays undefined. */
static bool put_token(rm_render *render, const ringmoe_tokenizer *tokenizer, const char *name,
                      int id)
{
    const char *spelling = ringmoe_tokenizer_spelling(tokenizer, id);
    return !spelling || rm_member_put(render, &render->variables, name, text_of(spelling));
}

static bool put_messages(rm_render *render, const ringmoe_chat_message *messages, int n)
{
    rm_value *list = rm_template_take(render->memory, (int64_t)(n + 1) * (int64_t)sizeof *list);
    for (int i = 0; list && i < n; i++) {
        rm_member **map = rm_template_take(render->memory, sizeof *map);
        if (!map || !rm_member_put(render, map, "content", text_of(messages[i].content)) ||
            !rm_member_put(render, map, "role", text_of(messages[i].role)))
            return false;
        list[i] = (rm_value){.kind = RM_VALUE_MAP, .map = map};
    }
    return list && rm_member_put(render, &render->variables, "messages",
                                 (rm_value){.kind = RM_VALUE_LIST, .n = n, .list = list});
}

static ringmoe_status put_variables(rm_render *render, const ringmoe_tokenizer *tokenizer,
                                    const ringmoe_chat_message *messages, int n_messages,
                                    int asks_answer)
{
    const rm_value none = {.kind = RM_VALUE_NONE};
    bool done = put_messages(render, messages, n_messages) &&
                rm_member_put(render, &render->variables, "add_generation_prompt",
                              rm_value_flag(asks_answer)) &&
                rm_member_put(render, &render->variables, "tools", none) &&
                rm_member_put(render, &render->variables, "documents", none) &&
                rm_member_put(render, &render->variables, "strftime_now", none) &&
                put_token(render, tokenizer, "bos_token", tokenizer->bos) &&
                put_token(render, tokenizer, "eos_token", tokenizer->eos) &&
                put_token(render, tokenizer, "pad_token", tokenizer->padding) &&
                put_token(render, tokenizer, "unk_token", ringmoe_tokenizer_unknown(tokenizer));
    if (done) return RINGMOE_OK;
    return rm_fail(render->error, RINGMOE_ERROR_MEMORY, "no memory for the chat");
}

static ringmoe_status check(const ringmoe_tokenizer *tokenizer,
                            const ringmoe_chat_message *messages, int n_messages,
                            rm_error *error)
{
    if (!tokenizer->chat_template)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "this tokenizer has no chat template: give the text as it is");
    bool is_whole = n_messages >= 0 && (n_messages == 0 || messages);
    for (int i = 0; is_whole && i < n_messages; i++)
        is_whole = messages[i].role && messages[i].content;
    if (is_whole) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "a message without a role or a content");
}

/* Jinja reads each end of a line as \n. NULL without memory. */
static char *plain_lines(const char *template, rm_template_memory *memory)
{
    char *plain = rm_template_take(memory, (int64_t)strlen(template) + 1), *to = plain;
    for (const char *at = template; plain && *at; at++) {
        *to++ = *at == '\r' ? '\n' : *at;
        if (at[0] == '\r' && at[1] == '\n') at++;
    }
    return plain;
}

ringmoe_status ringmoe_tokenizer_chat(ringmoe_tokenizer *tokenizer,
                                      const ringmoe_chat_message *messages, int n_messages,
                                      int asks_answer, char *text, int64_t room, int64_t *bytes)
{
    rm_error *error = tokenizer->context ? &tokenizer->context->error : NULL;
    rm_template_memory memory = {0};
    rm_render render = {.memory = &memory, .error = error};
    rm_node *first = NULL;
    *bytes = 0;
    RM_TRY(check(tokenizer, messages, n_messages, error));
    if (room < 0 || (room > 0 && !text))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "room for %lld bytes at NULL: give memory, or no room", (long long)room);
    const char *template = plain_lines(tokenizer->chat_template, &memory);
    if (!template)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the chat template");
    ringmoe_status status =
        rm_template_parse(template, (int64_t)strlen(template), &memory, &first, error);
    if (status == RINGMOE_OK)
        status = put_variables(&render, tokenizer, messages, n_messages, asks_answer);
    if (status == RINGMOE_OK) status = rm_template_render(&render, first);
    if (status == RINGMOE_OK) *bytes = render.output.count;
    if (status != RINGMOE_OK && error) rm_text_make_printable(error->text);
    int64_t n = *bytes < room - 1 ? *bytes : room - 1;
    if (n > 0) memcpy(text, render.output.data, (size_t)n);
    if (room > 0) text[n > 0 ? n : 0] = '\0';
    rm_bytes_free(&render.output);
    rm_template_give_back(&memory);
    return status;
}
