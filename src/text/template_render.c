/* SPDX-License-Identifier: MIT
 *
 * The walk through a template's nodes: what statements do (template_evaluate.c: with the values
 * of their expressions).
 */
#include "text/chat_template.h"

ringmoe_status rm_template_fail_memory(rm_render *render)
{
    return rm_fail(render->error, RINGMOE_ERROR_MEMORY, "no memory for the chat");
}

ringmoe_status rm_template_deeper(rm_render *render, const rm_node *node)
{
    RM_TRY(rm_template_spend(render, node, 0));
    if (++render->depth <= RM_RENDER_DEPTH) return RINGMOE_OK;
    return rm_template_fail(render, node, "takes too many steps, or too deep ones");
}

static ringmoe_status put_out(rm_render *render, const rm_node *node, const char *text,
                              int64_t bytes)
{
    if (render->output.count + bytes > RM_TEMPLATE_OUTPUT)
        return rm_template_fail(render, node, "makes more than %d bytes", RM_TEMPLATE_OUTPUT);
    return rm_bytes_add(&render->output, text, bytes) ? RINGMOE_OK
                                                      : rm_template_fail_memory(render);
}

static ringmoe_status assign(rm_render *render, const rm_node *node)
{
    rm_value value;
    RM_TRY(rm_template_evaluate(render, node->a, &value));
    if (!node->member) {
        if (!rm_member_put(render, &render->variables, node->text, value))
            return rm_template_fail_memory(render);
        return RINGMOE_OK;
    }
    rm_member *target = rm_member_find(render, render->variables, node->text);
    if (!target || target->value.kind != RM_VALUE_MAP)
        return rm_template_fail(render, node, "%.40s is no namespace", node->text);
    rm_member *there = rm_member_find(render, *target->value.map, node->member);
    if (there)
        there->value = value;
    else if (!rm_member_put(render, target->value.map, node->member, value))
        return rm_template_fail_memory(render);
    return RINGMOE_OK;
}

/* The loop's names for an element; of several names each stands for a part of it. */
static ringmoe_status put_names(rm_render *render, const rm_node *node, rm_value *element)
{
    int64_t n = 0;
    void *room;
    for (const rm_node *name = node->d; name; name = name->next) n++;
    if (n > 1 && (element->kind != RM_VALUE_LIST || element->n != n))
        return rm_template_fail(render, node, "a loop's %lld names for something else",
                                (long long)n);
    RM_TRY(rm_template_room(render, node, n * (int64_t)sizeof(rm_member), &room));
    const rm_value *values = n > 1 ? element->list : element;
    rm_member *member = room;
    for (const rm_node *name = node->d; name; name = name->next) {
        *member = (rm_member){render->variables, name->text, *values++};
        render->variables = member++;
    }
    return RINGMOE_OK;
}

/* The variable `loop`. `cycle` and `changed` would have to be called, which is refused. */
static ringmoe_status set_loop(rm_render *render, const rm_node *node, const rm_value *list,
                               int64_t at)
{
    const rm_value none = {0};
    const struct {
        const char *name;
        rm_value value;
    } members[] = {
        {"index0", rm_value_number(at)},
        {"index", rm_value_number(at + 1)},
        {"revindex", rm_value_number(list->n - at)},
        {"revindex0", rm_value_number(list->n - at - 1)},
        {"length", rm_value_number(list->n)},
        {"first", rm_value_flag(at == 0)},
        {"last", rm_value_flag(at + 1 == list->n)},
        {"depth", rm_value_number(1)},
        {"depth0", rm_value_number(0)},
        {"previtem", at > 0 ? list->list[at - 1] : none},
        {"nextitem", at + 1 < list->n ? list->list[at + 1] : none},
    };
    const int n = sizeof members / sizeof members[0];
    rm_member **map;
    void *room;
    RM_TRY(rm_template_room(render, node,
                            2 * (int64_t)sizeof *map + n * (int64_t)sizeof(rm_member), &room));
    map = room;
    rm_member *next = (rm_member *)(map + 2);
    for (int i = 0; i < n; i++) {
        next[i] = (rm_member){*map, members[i].name, members[i].value};
        *map = &next[i];
    }
    if (rm_member_put(render, &render->variables, "loop",
                      (rm_value){.kind = RM_VALUE_MAP, .map = map}))
        return RINGMOE_OK;
    return rm_template_fail_memory(render);
}

/* The elements for which the loop's condition holds. */
static ringmoe_status choose(rm_render *render, const rm_node *node, rm_value *list)
{
    rm_member *outside = render->variables;
    void *room;
    int64_t kept = 0;
    if (!node->c) return RINGMOE_OK;
    RM_TRY(rm_template_room(render, node, list->n * (int64_t)sizeof(rm_value), &room));
    rm_value *chosen = room;
    for (int64_t i = 0; i < list->n; i++) {
        rm_value holds;
        RM_TRY(put_names(render, node, &list->list[i]));
        RM_TRY(rm_template_evaluate(render, node->c, &holds));
        if (rm_value_is_true(&holds)) chosen[kept++] = list->list[i];
        render->variables = outside;
    }
    *list = (rm_value){.kind = RM_VALUE_LIST, .n = kept, .list = chosen};
    return RINGMOE_OK;
}

static ringmoe_status loop(rm_render *render, const rm_node *node)
{
    rm_value list;
    rm_member *outside = render->variables;
    RM_TRY(rm_template_evaluate(render, node->a, &list));
    if (list.kind != RM_VALUE_LIST)
        return rm_template_fail(render, node, "a loop over something that is no list");
    rm_template_enter(render);
    RM_TRY(choose(render, node, &list));
    for (int64_t i = 0; i < list.n; i++) {
        RM_TRY(put_names(render, node, &list.list[i]));
        RM_TRY(set_loop(render, node, &list, i));
        RM_TRY(rm_template_render(render, node->b));
        render->variables = outside;
    }
    render->inside--;
    return RINGMOE_OK;
}

static ringmoe_status statement(rm_render *render, const rm_node *node)
{
    rm_value value;
    switch (node->kind) {
    case RM_NODE_TEXT:
        return put_out(render, node, node->text, node->bytes);
    case RM_NODE_OUTPUT:
        RM_TRY(rm_template_evaluate(render, node->a, &value));
        RM_TRY(rm_template_text(render, node, &value));
        return put_out(render, node, value.text, value.n);
    case RM_NODE_IF:
        RM_TRY(rm_template_evaluate(render, node->a, &value));
        return rm_template_render(render, rm_value_is_true(&value) ? node->b : node->c);
    case RM_NODE_FOR:
        return loop(render, node);
    case RM_NODE_MACRO:
        return rm_template_define(render, node);
    default:
        return assign(render, node);
    }
}

ringmoe_status rm_template_render(rm_render *render, const rm_node *first)
{
    for (const rm_node *node = first; node; node = node->next) {
        RM_TRY(rm_template_deeper(render, node));
        RM_TRY(statement(render, node));
        render->depth--;
    }
    return RINGMOE_OK;
}
