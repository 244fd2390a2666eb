/* SPDX-License-Identifier: MIT
 *
 * What can be done with values: comparisons, operations, and their text.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "text/chat_template.h"

ringmoe_status rm_template_fail(rm_render *render, const rm_node *node, const char *format, ...)
{
    char what[256];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    return rm_fail(render->error, RINGMOE_ERROR_FORMAT, "chat template, line %d: %s",
                   node->line, what);
}

ringmoe_status rm_template_spend(rm_render *render, const rm_node *node, int64_t bytes)
{
    render->steps += 1 + bytes / RM_BYTES_A_STEP;
    if (render->steps <= RM_TEMPLATE_STEPS) return RINGMOE_OK;
    return rm_template_fail(render, node, "takes too many steps, or too deep ones");
}

ringmoe_status rm_template_room(rm_render *render, const rm_node *node, int64_t bytes,
                                void **room)
{
    render->bytes += bytes;
    if (render->bytes > RM_TEMPLATE_OUTPUT)
        return rm_template_fail(render, node, "makes more than %d bytes of values",
                                RM_TEMPLATE_OUTPUT);
    *room = rm_template_take(render->memory, bytes + 1);
    if (*room) return RINGMOE_OK;
    return rm_fail(render->error, RINGMOE_ERROR_MEMORY, "no memory for the chat");
}

bool rm_value_is_true(const rm_value *value)
{
    if (value->kind == RM_VALUE_MAP) return *value->map != NULL;
    return value->kind != RM_VALUE_UNDEFINED && value->kind != RM_VALUE_NONE && value->n != 0;
}

static bool is_number(const rm_value *value)
{
    return value->kind == RM_VALUE_NUMBER || value->kind == RM_VALUE_FLAG;
}

bool rm_member_put(rm_render *render, rm_member **first, const char *name, rm_value value)
{
    rm_member *member = rm_template_take(render->memory, sizeof *member);
    if (!member) return false;
    *member = (rm_member){*first, name, value};
    *first = member;
    return true;
}

rm_member *rm_member_find(rm_render *render, rm_member *first, const char *name)
{
    for (; first && strcmp(first->name, name) != 0; first = first->next) render->steps++;
    return first;
}

ringmoe_status rm_template_text(rm_render *render, const rm_node *node, rm_value *value)
{
    char digits[24];
    void *room;
    switch (value->kind) {
    case RM_VALUE_TEXT:
        return RINGMOE_OK;
    case RM_VALUE_UNDEFINED:
        *value = rm_value_text("", 0);
        return RINGMOE_OK;
    case RM_VALUE_NONE:
        *value = rm_value_text("None", 4);
        return RINGMOE_OK;
    case RM_VALUE_FLAG:
        *value = value->n ? rm_value_text("True", 4) : rm_value_text("False", 5);
        return RINGMOE_OK;
    case RM_VALUE_NUMBER:
        break;
    case RM_VALUE_LIST:
    case RM_VALUE_MAP:
    case RM_VALUE_MACRO:
        return rm_template_fail(render, node, "a list, a map or a macro as text is not done");
    }
    int n = snprintf(digits, sizeof digits, "%lld", (long long)value->n);
    RM_TRY(rm_template_room(render, node, n, &room));
    memcpy(room, digits, (size_t)n);
    *value = rm_value_text(room, n);
    return RINGMOE_OK;
}

static ringmoe_status join(rm_render *render, const rm_node *node, const rm_value *a,
                           const rm_value *b, rm_value *value)
{
    void *room;
    RM_TRY(rm_template_room(render, node, a->n + b->n, &room));
    if (a->n > 0) memcpy(room, a->text, (size_t)a->n);
    if (b->n > 0) memcpy((char *)room + a->n, b->text, (size_t)b->n);
    *value = rm_value_text(room, a->n + b->n);
    return RINGMOE_OK;
}

/* --- comparisons ----------------------------------------------------------------------------
 */

static ringmoe_status is_equal(rm_render *render, const rm_node *node, const rm_value *a,
                               const rm_value *b, int depth, bool *equal);

static int64_t count_members(const rm_value *map)
{
    int64_t n = 0;
    for (const rm_member *at = *map->map; at; at = at->next) n++;
    return n;
}

static ringmoe_status are_maps_equal(rm_render *render, const rm_node *node, const rm_value *a,
                                     const rm_value *b, int depth, bool *equal)
{
    *equal = a->map == b->map || count_members(a) == count_members(b);
    if (a->map == b->map) return RINGMOE_OK;
    for (const rm_member *at = *a->map; at && *equal; at = at->next) {
        const rm_member *other = rm_member_find(render, *b->map, at->name);
        *equal = other != NULL;
        if (other) RM_TRY(is_equal(render, node, &at->value, &other->value, depth, equal));
    }
    return RINGMOE_OK;
}

/* As Python has it: by what is in them. */
static ringmoe_status is_equal(rm_render *render, const rm_node *node, const rm_value *a,
                               const rm_value *b, int depth, bool *equal)
{
    bool are_numbers = is_number(a) && is_number(b);
    *equal = are_numbers ? a->n == b->n : a->kind == b->kind;
    RM_TRY(rm_template_spend(render, node, 0));
    if (are_numbers || !*equal) return RINGMOE_OK;
    if (depth > RM_TEMPLATE_DEPTH)
        return rm_template_fail(render, node, "a comparison of too deep values");
    if (a->kind == RM_VALUE_MAP) return are_maps_equal(render, node, a, b, depth + 1, equal);
    if (a->kind != RM_VALUE_TEXT && a->kind != RM_VALUE_LIST) return RINGMOE_OK;
    *equal = a->n == b->n;
    if (a->kind == RM_VALUE_TEXT) {
        *equal = *equal && (a->n == 0 || !memcmp(a->text, b->text, (size_t)a->n));
        return rm_template_spend(render, node, a->n);
    }
    for (int64_t i = 0; *equal && i < a->n; i++)
        RM_TRY(is_equal(render, node, &a->list[i], &b->list[i], depth + 1, equal));
    return RINGMOE_OK;
}

static ringmoe_status is_in(rm_render *render, const rm_node *node, const rm_value *a,
                            const rm_value *b, bool *found)
{
    *found = false;
    if (b->kind == RM_VALUE_TEXT && a->kind == RM_VALUE_TEXT) {
        *found = a->n == 0 || memmem(b->text, (size_t)b->n, a->text, (size_t)a->n);
    } else if (b->kind == RM_VALUE_LIST) {
        for (int64_t i = 0; i < b->n && !*found; i++)
            RM_TRY(is_equal(render, node, &b->list[i], a, 0, found));
    } else if (b->kind == RM_VALUE_MAP && a->kind == RM_VALUE_TEXT) {
        for (const rm_member *member = *b->map; member && !*found;
             member = member->next, render->steps++)
            *found = (int64_t)strlen(member->name) == a->n &&
                     !memcmp(member->name, a->text, (size_t)a->n);
    } else {
        return rm_template_fail(render, node, "`in` needs a text, a list or a map behind it");
    }
    return RINGMOE_OK;
}

/* Of Python: the remainder has the divisor's sign, and the quotient fits it. */
static int64_t modulo(int64_t a, int64_t b)
{
    int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

static ringmoe_status calculate(rm_render *render, const rm_node *node, int64_t a, int64_t b,
                                rm_value *value)
{
    const int64_t most = (int64_t)1 << 31;
    const char *word = node->word;
    int64_t result;
    if (a > most || a < -most || b > most || b < -most)
        return rm_template_fail(render, node, "too large a number");
    if ((*word == '%' || strcmp(word, "//") == 0) && b == 0)
        return rm_template_fail(render, node, "division by 0");
    if (*word == '+')
        result = a + b;
    else if (*word == '-')
        result = a - b;
    else if (*word == '*')
        result = a * b;
    else if (*word == '%')
        result = modulo(a, b);
    else if (strcmp(word, "//") == 0)
        result = (a - modulo(a, b)) / b;
    else
        return rm_template_fail(render, node, "%s is not done", word);
    *value = rm_value_number(result);
    return RINGMOE_OK;
}

static ringmoe_status compare(rm_render *render, const rm_node *node, const rm_value *a,
                              const rm_value *b, rm_value *value)
{
    const char *word = node->word;
    if (!is_number(a) || !is_number(b))
        return rm_template_fail(render, node, "%s is done of numbers only", word);
    bool holds = *word == '<' ? a->n < b->n : a->n > b->n;
    *value = rm_value_flag(holds || (word[1] == '=' && a->n == b->n));
    return RINGMOE_OK;
}

/* Those that an operation may look through. */
static int64_t bytes_of(const rm_value *value)
{
    int64_t bytes = value->kind == RM_VALUE_TEXT ? value->n : 0;
    for (int64_t i = 0; value->kind == RM_VALUE_LIST && i < value->n; i++)
        bytes += (int64_t)sizeof *value +
                 (value->list[i].kind == RM_VALUE_TEXT ? value->list[i].n : 0);
    return bytes;
}

ringmoe_status rm_template_binary(rm_render *render, const rm_node *node, rm_value *a,
                                  rm_value *b, rm_value *value)
{
    const char *word = node->word;
    bool found;
    RM_TRY(rm_template_spend(render, node, bytes_of(a) + bytes_of(b)));
    if (strcmp(word, "==") == 0 || strcmp(word, "!=") == 0) {
        RM_TRY(is_equal(render, node, a, b, 0, &found));
        *value = rm_value_flag(found == (*word == '='));
        return RINGMOE_OK;
    }
    if (*word == '<' || *word == '>') return compare(render, node, a, b, value);
    if (*word == 'i' || *word == 'n') {
        RM_TRY(is_in(render, node, a, b, &found));
        *value = rm_value_flag(found == (*word == 'i'));
        return RINGMOE_OK;
    }
    if (*word == '~') {
        RM_TRY(rm_template_text(render, node, a));
        RM_TRY(rm_template_text(render, node, b));
        return join(render, node, a, b, value);
    }
    if (*word == '+' && a->kind == RM_VALUE_TEXT && b->kind == RM_VALUE_TEXT)
        return join(render, node, a, b, value);
    if (is_number(a) && is_number(b)) return calculate(render, node, a->n, b->n, value);
    return rm_template_fail(render, node, "%s of these values is not done", word);
}
