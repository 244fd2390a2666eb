/* SPDX-License-Identifier: MIT
 *
 * The values of a template's expressions; template_words.c has what their words mean.
 */
#include <string.h>
#include <time.h>

#include "text/chat_template.h"

static void literal(const rm_node *node, rm_value *value)
{
    const char *word = node->word;
    if (!word)
        *value = rm_value_text(node->text, node->bytes);
    else if (strcmp(word, "number") == 0)
        *value = rm_value_number(node->number);
    else if (strcmp(word, "none") == 0)
        *value = (rm_value){.kind = RM_VALUE_NONE};
    else
        *value = rm_value_flag(*word == 't');
}

static ringmoe_status list_of(rm_render *render, const rm_node *node, rm_value *value)
{
    int64_t n = 0;
    void *room;
    for (const rm_node *element = node->a; element; element = element->next) n++;
    RM_TRY(rm_template_room(render, node, n * (int64_t)sizeof(rm_value), &room));
    *value = (rm_value){.kind = RM_VALUE_LIST, .n = n, .list = room};
    n = 0;
    for (const rm_node *element = node->a; element; element = element->next)
        RM_TRY(rm_template_evaluate(render, element, &value->list[n++]));
    return RINGMOE_OK;
}

/* of.name, of["name"] */
static ringmoe_status member(rm_render *render, const rm_node *node, const rm_value *of,
                             const char *name, int64_t bytes, rm_value *value)
{
    *value = (rm_value){0};
    if (of->kind == RM_VALUE_UNDEFINED)
        return rm_template_fail(render, node, "%.*s of something undefined", (int)bytes, name);
    if (of->kind != RM_VALUE_MAP) return RINGMOE_OK;
    for (const rm_member *at = *of->map; at; at = at->next, render->steps++)
        if ((int64_t)strlen(at->name) == bytes && !memcmp(at->name, name, (size_t)bytes)) {
            *value = at->value;
            break;
        }
    return RINGMOE_OK;
}

static ringmoe_status indexed(rm_render *render, const rm_node *node, const rm_value *of,
                              rm_value *value)
{
    rm_value index;
    RM_TRY(rm_template_evaluate(render, node->b, &index));
    if (index.kind == RM_VALUE_TEXT)
        return member(render, node, of, index.text, index.n < 100 ? index.n : 100, value);
    if (index.kind != RM_VALUE_NUMBER || of->kind != RM_VALUE_LIST)
        return rm_template_fail(render, node, "this index is not done");
    int64_t at = index.n < 0 ? index.n + of->n : index.n;
    *value = at >= 0 && at < of->n ? of->list[at] : (rm_value){0};
    return RINGMOE_OK;
}

/* A part of a slice; one that is left out is `otherwise`. */
static ringmoe_status bound(rm_render *render, const rm_node *node, int64_t otherwise,
                            int64_t *number)
{
    rm_value value = rm_value_number(otherwise);
    if (node) RM_TRY(rm_template_evaluate(render, node, &value));
    if (value.kind != RM_VALUE_NUMBER)
        return rm_template_fail(render, node, "a slice needs numbers");
    *number = value.n;
    return RINGMOE_OK;
}

static int64_t clamp(int64_t at, int64_t n)
{
    if (at < 0) at += n;
    return at < 0 ? 0 : at > n ? n : at;
}

/* Of lists, and forwards or wholly backwards. */
static ringmoe_status sliced(rm_render *render, const rm_node *node, const rm_value *of,
                             rm_value *value)
{
    int64_t first = 0, end = of->n, step = 1;
    void *room;
    if (of->kind != RM_VALUE_LIST)
        return rm_template_fail(render, node, "a slice of this value is not done");
    RM_TRY(bound(render, node->b, 0, &first));
    RM_TRY(bound(render, node->c, of->n, &end));
    RM_TRY(bound(render, node->d, 1, &step));
    if ((step != 1 && step != -1) || (step == -1 && (node->b || node->c)))
        return rm_template_fail(render, node, "this slice is not done");
    first = clamp(first, of->n);
    end = clamp(end, of->n);
    int64_t n = end > first ? end - first : 0;
    RM_TRY(rm_template_room(render, node, n * (int64_t)sizeof(rm_value), &room));
    *value = (rm_value){.kind = RM_VALUE_LIST, .n = n, .list = room};
    for (int64_t i = 0; i < n; i++)
        value->list[i] = of->list[step == 1 ? first + i : of->n - 1 - i];
    return RINGMOE_OK;
}

static ringmoe_status arguments_of(rm_render *render, const rm_node *node,
                                   rm_value arguments[RM_MOST_ARGUMENTS], int *n)
{
    *n = 0;
    for (const rm_node *at = node->b; at; at = at->next) {
        if (*n == RM_MOST_ARGUMENTS || at->kind == RM_NODE_KEYWORD)
            return rm_template_fail(render, node, "these arguments are not done");
        RM_TRY(rm_template_evaluate(render, at, &arguments[(*n)++]));
    }
    return RINGMOE_OK;
}

/* namespace(name=value, ...) */
static ringmoe_status namespace_of(rm_render *render, const rm_node *node, rm_value *value)
{
    rm_member **map = rm_template_take(render->memory, sizeof *map);
    if (!map) return rm_template_fail_memory(render);
    *value = (rm_value){.kind = RM_VALUE_MAP, .map = map};
    for (const rm_node *at = node->b; at; at = at->next) {
        rm_value one;
        if (at->kind != RM_NODE_KEYWORD)
            return rm_template_fail(render, node, "namespace takes name=value");
        RM_TRY(rm_template_evaluate(render, at->a, &one));
        if (!rm_member_put(render, map, at->text, one)) return rm_template_fail_memory(render);
    }
    return RINGMOE_OK;
}

/* strftime_now(format): the local time. */
static ringmoe_status now(rm_render *render, const rm_node *node, const rm_value *format,
                          rm_value *value)
{
    enum { MOST = 256 };
    char pattern[MOST] = "";
    time_t seconds = time(NULL);
    struct tm local;
    void *room;
    if (format->n >= MOST || !localtime_r(&seconds, &local))
        return rm_template_fail(render, node, "this time is not done");
    if (format->n > 0) memcpy(pattern, format->text, (size_t)format->n);
    RM_TRY(rm_template_room(render, node, MOST, &room));
    *value = rm_value_text(room, (int64_t)strftime(room, MOST, pattern, &local));
    return RINGMOE_OK;
}

static ringmoe_status called(rm_render *render, const rm_node *node, rm_value *value)
{
    rm_value of, arguments[RM_MOST_ARGUMENTS];
    const rm_node *callee = node->a;
    const rm_member *variable = callee->kind == RM_NODE_NAME
                                    ? rm_member_find(render, render->variables, callee->text)
                                    : NULL;
    int n;
    if (variable && variable->value.kind == RM_VALUE_MACRO)
        return rm_template_call(render, node, variable->value.macro, value);
    if (callee->kind == RM_NODE_NAME && strcmp(callee->text, "namespace") == 0)
        return namespace_of(render, node, value);
    RM_TRY(arguments_of(render, node, arguments, &n));
    if (callee->kind == RM_NODE_NAME && strcmp(callee->text, "strftime_now") == 0 && n == 1 &&
        arguments[0].kind == RM_VALUE_TEXT)
        return now(render, node, &arguments[0], value);
    if (callee->kind == RM_NODE_NAME && strcmp(callee->text, "raise_exception") == 0)
        return rm_template_fail(render, node, "it refuses these messages: %.*s",
                                n > 0 && arguments[0].kind == RM_VALUE_TEXT
                                    ? (int)(arguments[0].n < 200 ? arguments[0].n : 200)
                                    : 0,
                                n > 0 ? arguments[0].text : "");
    if (callee->kind != RM_NODE_ATTRIBUTE)
        return rm_template_fail(render, node, "this call is not done");
    RM_TRY(rm_template_evaluate(render, callee->a, &of));
    if (of.kind == RM_VALUE_MAP && strcmp(callee->text, "items") == 0 && n == 0)
        return rm_template_items(render, node, &of, value);
    if (of.kind != RM_VALUE_TEXT)
        return rm_template_fail(render, node, "the method %.40s of such a value is not done",
                                callee->text);
    return rm_template_method(render, node, callee->text, &of, arguments, n, value);
}

static ringmoe_status binary(rm_render *render, const rm_node *node, rm_value *value)
{
    rm_value a, b;
    bool is_and = strcmp(node->word, "and") == 0, is_or = strcmp(node->word, "or") == 0;
    RM_TRY(rm_template_evaluate(render, node->a, &a));
    if (is_and || is_or) {
        if (rm_value_is_true(&a) == is_and) return rm_template_evaluate(render, node->b, value);
        *value = a;
        return RINGMOE_OK;
    }
    RM_TRY(rm_template_evaluate(render, node->b, &b));
    return rm_template_binary(render, node, &a, &b, value);
}

/* Those that begin with the value of `a`. */
static ringmoe_status of_value(rm_render *render, const rm_node *node, rm_value *value)
{
    rm_value of, arguments[RM_MOST_ARGUMENTS];
    bool holds;
    int n;
    RM_TRY(rm_template_evaluate(render, node->a, &of));
    switch (node->kind) {
    case RM_NODE_ATTRIBUTE:
        return member(render, node, &of, node->text, (int64_t)strlen(node->text), value);
    case RM_NODE_INDEX:
        return indexed(render, node, &of, value);
    case RM_NODE_SLICE:
        return sliced(render, node, &of, value);
    case RM_NODE_FILTER:
        RM_TRY(arguments_of(render, node, arguments, &n));
        return rm_template_filter(render, node, &of, arguments, n, value);
    case RM_NODE_TEST:
        RM_TRY(rm_template_test(render, node, &of, &holds));
        *value = rm_value_flag(holds);
        return RINGMOE_OK;
    case RM_NODE_NOT:
        *value = rm_value_flag(!rm_value_is_true(&of));
        return RINGMOE_OK;
    default:
        if (of.kind != RM_VALUE_NUMBER)
            return rm_template_fail(render, node, "- of something that is no number");
        *value = rm_value_number(-of.n);
        return RINGMOE_OK;
    }
}

static ringmoe_status evaluate(rm_render *render, const rm_node *node, rm_value *value)
{
    rm_value condition;
    const rm_member *variable;
    switch (node->kind) {
    case RM_NODE_LITERAL:
        literal(node, value);
        return RINGMOE_OK;
    case RM_NODE_NAME:
        variable = rm_member_find(render, render->variables, node->text);
        *value = variable ? variable->value : (rm_value){0};
        return RINGMOE_OK;
    case RM_NODE_LIST:
        return list_of(render, node, value);
    case RM_NODE_CALL:
        return called(render, node, value);
    case RM_NODE_BINARY:
        return binary(render, node, value);
    case RM_NODE_CHOICE:
        RM_TRY(rm_template_evaluate(render, node->b, &condition));
        if (rm_value_is_true(&condition)) return rm_template_evaluate(render, node->a, value);
        *value = (rm_value){0};
        return node->c ? rm_template_evaluate(render, node->c, value) : RINGMOE_OK;
    case RM_NODE_KEYWORD:
        return rm_template_fail(render, node, "name=value is not done here");
    default:
        return of_value(render, node, value);
    }
}

ringmoe_status rm_template_evaluate(rm_render *render, const rm_node *node, rm_value *value)
{
    RM_TRY(rm_template_deeper(render, node));
    RM_TRY(evaluate(render, node, value));
    render->depth--;
    return RINGMOE_OK;
}
