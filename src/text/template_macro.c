/* SPDX-License-Identifier: MIT
 *
 * Macros: a part of a template that has arguments and a name. As in Jinja a macro sees its
 * arguments and the template's own variables, not those of the loop or macro that calls it.
 */
#include <string.h>

#include "text/chat_template.h"

void rm_template_enter(rm_render *render)
{
    if (render->inside++ == 0) render->outermost = render->variables;
}

/* One that is defined in a loop would see that loop's variables. */
ringmoe_status rm_template_define(rm_render *render, const rm_node *node)
{
    const rm_value macro = {.kind = RM_VALUE_MACRO, .n = 1, .macro = node};
    if (render->inside > 0)
        return rm_template_fail(render, node, "a macro in a loop or a macro is not done");
    return rm_member_put(render, &render->variables, node->text, macro)
               ? RINGMOE_OK
               : rm_template_fail_memory(render);
}

static const rm_node *find_keyword(const rm_node *arguments, const char *name)
{
    for (; arguments; arguments = arguments->next)
        if (arguments->kind == RM_NODE_KEYWORD && strcmp(arguments->text, name) == 0) break;
    return arguments;
}

static int64_t count_nodes(const rm_node *node)
{
    int64_t n = 0;
    for (; node; node = node->next) n++;
    return n;
}

/* Arguments behind the macro's last one, or of other names. */
static ringmoe_status check_arguments(rm_render *render, const rm_node *node,
                                      const rm_node *macro)
{
    const rm_node *parameter = macro->a, *at = node->b;
    int64_t looks = count_nodes(macro->a) * count_nodes(node->b);
    RM_TRY(rm_template_spend(render, node, looks * RM_BYTES_A_STEP));
    for (; at && parameter && at->kind != RM_NODE_KEYWORD; at = at->next)
        parameter = parameter->next;
    for (; at; at = at->next) {
        const rm_node *named = at->kind == RM_NODE_KEYWORD ? parameter : NULL;
        while (named && strcmp(named->text, at->text) != 0) named = named->next;
        if (!named)
            return rm_template_fail(render, node, "%.40s has no place for an argument",
                                    macro->text);
    }
    return RINGMOE_OK;
}

/* What a parameter begins as: the caller's value, or by its default, which is the macro's. */
static ringmoe_status argument_of(rm_render *render, const rm_node *parameter,
                                  const rm_node *given, rm_member *variables, rm_value *value)
{
    rm_member *outside = render->variables;
    *value = (rm_value){0};
    if (given)
        return rm_template_evaluate(render, given->kind == RM_NODE_KEYWORD ? given->a : given,
                                    value);
    if (parameter->kind != RM_NODE_KEYWORD) return RINGMOE_OK;
    render->variables = variables;
    RM_TRY(rm_template_evaluate(render, parameter->a, value));
    render->variables = outside;
    return RINGMOE_OK;
}

/* The macro's arguments, in front of `*variables`. */
static ringmoe_status put_arguments(rm_render *render, const rm_node *node,
                                    const rm_node *macro, rm_member **variables)
{
    const rm_node *next = node->b;
    void *room;
    RM_TRY(rm_template_room(render, node, count_nodes(macro->a) * (int64_t)sizeof(rm_member),
                            &room));
    rm_member *member = room;
    for (const rm_node *parameter = macro->a; parameter; parameter = parameter->next) {
        bool is_next = next && next->kind != RM_NODE_KEYWORD;
        const rm_node *given = is_next ? next : find_keyword(next, parameter->text);
        rm_value value;
        if (is_next) next = next->next;
        RM_TRY(argument_of(render, parameter, given, *variables, &value));
        *member = (rm_member){*variables, parameter->text, value};
        *variables = member++;
    }
    return RINGMOE_OK;
}

ringmoe_status rm_template_call(rm_render *render, const rm_node *node, const rm_node *macro,
                                rm_value *value)
{
    rm_member *outside = render->variables;
    int64_t before = render->output.count;
    void *room;
    RM_TRY(check_arguments(render, node, macro));
    rm_template_enter(render);
    rm_member *variables = render->outermost;
    RM_TRY(put_arguments(render, node, macro, &variables));
    render->variables = variables;
    RM_TRY(rm_template_render(render, macro->b));
    render->variables = outside;
    render->inside--;
    int64_t n = render->output.count - before;
    RM_TRY(rm_template_room(render, node, n, &room));
    if (n > 0) memcpy(room, render->output.data + before, (size_t)n);
    render->output.count = before;
    *value = rm_value_text(room, n);
    return RINGMOE_OK;
}
