/* SPDX-License-Identifier: MIT
 *
 * Expressions of a template, loosest first:
 *
 *   a if b else c,  or,  and,  not,  == != < <= > >= in,  + -,  ~,  * / // %,  -,
 *   then what stands behind a value: .name [index] (arguments) | filter, is test
 */
#include <stdlib.h>
#include <string.h>

#include "text/template_parse.h"

ringmoe_status rm_parser_fail(const template_parser *parser, const char *what)
{
    int line = 1;
    for (const char *at = parser->begin; at < parser->at && at < parser->end; at++)
        line += *at == '\n';
    return rm_fail(parser->error, RINGMOE_ERROR_FORMAT, "chat template, line %d: %s", line,
                   what);
}

ringmoe_status rm_parser_node(template_parser *parser, rm_node_kind kind, rm_node **node)
{
    *node = rm_template_take(parser->memory, sizeof **node);
    if (!*node)
        return rm_fail(parser->error, RINGMOE_ERROR_MEMORY, "no memory for the chat template");
    if (!parser->counted) parser->counted = parser->begin;
    for (; parser->counted < parser->at; parser->counted++)
        parser->lines += *parser->counted == '\n';
    (*node)->kind = kind;
    (*node)->line = parser->lines + 1;
    return RINGMOE_OK;
}

void rm_parser_skip(template_parser *parser)
{
    while (parser->at < parser->end && *parser->at && strchr(" \t\r\n", *parser->at))
        parser->at++;
}

bool rm_parser_take(template_parser *parser, const char *signs)
{
    rm_parser_skip(parser);
    size_t n = strlen(signs);
    if ((size_t)(parser->end - parser->at) < n || memcmp(parser->at, signs, n) != 0)
        return false;
    parser->at += n;
    return true;
}

static bool is_of_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '_';
}

bool rm_parser_take_word(template_parser *parser, const char *word)
{
    const char *before = parser->at;
    if (rm_parser_take(parser, word) && (parser->at == parser->end || !is_of_name(*parser->at)))
        return true;
    parser->at = before;
    return false;
}

ringmoe_status rm_parser_name(template_parser *parser, const char **name)
{
    rm_parser_skip(parser);
    const char *begin = parser->at;
    while (parser->at < parser->end && is_of_name(*parser->at)) parser->at++;
    int64_t n = parser->at - begin;
    if (n == 0 || (*begin >= '0' && *begin <= '9'))
        return rm_parser_fail(parser, "a name was expected");
    char *copy = rm_template_take(parser->memory, n + 1);
    if (!copy)
        return rm_fail(parser->error, RINGMOE_ERROR_MEMORY, "no memory for the chat template");
    memcpy(copy, begin, (size_t)n);
    *name = copy;
    return RINGMOE_OK;
}

/* --- values ----------------------------------------------------------------------------------
 */

/* At a quotation mark. */
static ringmoe_status parse_string(template_parser *parser, rm_node *node)
{
    char mark = *parser->at++, *text;
    const char *begin = parser->at, *end = begin;
    while (end < parser->end && *end != mark) end += *end == '\\' ? 2 : 1;
    if (end >= parser->end) return rm_parser_fail(parser, "a text without its end");
    text = rm_template_take(parser->memory, end - begin + 1);
    if (!text)
        return rm_fail(parser->error, RINGMOE_ERROR_MEMORY, "no memory for the chat template");
    node->kind = RM_NODE_LITERAL;
    node->text = text;
    for (const char *at = begin; at < end; at++) {
        static const char letters[] = "nrt\\'\"", meanings[] = "\n\r\t\\'\"";
        char c = *at;
        if (c == '\\') {
            const char *letter = at[1] ? strchr(letters, at[1]) : NULL;
            if (!letter) return rm_parser_fail(parser, "this \\ in a text is not done");
            c = meanings[letter - letters];
            at++;
        }
        text[node->bytes++] = c;
    }
    parser->at = end + 1;
    return RINGMOE_OK;
}

static ringmoe_status parse_number(template_parser *parser, rm_node *node)
{
    int64_t number = 0;
    for (; parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9'; parser->at++)
        if (number < INT32_MAX) number = number * 10 + (*parser->at - '0');
    if (number > INT32_MAX || (parser->at < parser->end && *parser->at == '.'))
        return rm_parser_fail(parser, "this number is not done");
    node->kind = RM_NODE_LITERAL;
    node->word = "number";
    node->number = number;
    return RINGMOE_OK;
}

ringmoe_status rm_parser_elements(template_parser *parser, const char *closing,
                                  bool are_arguments, rm_node **first)
{
    rm_node **place = first;
    while (!rm_parser_take(parser, closing)) {
        rm_node *node;
        RM_TRY(rm_parser_expression(parser, &node));
        if (are_arguments && node->kind == RM_NODE_NAME && rm_parser_take(parser, "=")) {
            node->kind = RM_NODE_KEYWORD;
            RM_TRY(rm_parser_expression(parser, &node->a));
        }
        *place = node;
        place = &node->next;
        if (rm_parser_take(parser, ",")) continue;
        if (!rm_parser_take(parser, closing))
            return rm_parser_fail(parser, "a comma or a closing bracket was expected");
        break;
    }
    return RINGMOE_OK;
}

static ringmoe_status parse_name(template_parser *parser, rm_node *node)
{
    static const char *const words[][2] = {{"true", "true"},   {"True", "true"},
                                           {"false", "false"}, {"False", "false"},
                                           {"none", "none"},   {"None", "none"}};
    RM_TRY(rm_parser_name(parser, &node->text));
    node->kind = RM_NODE_NAME;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(node->text, words[i][0]) == 0) {
            node->kind = RM_NODE_LITERAL;
            node->word = words[i][1];
        }
    return RINGMOE_OK;
}

static ringmoe_status parse_value(template_parser *parser, rm_node **node)
{
    rm_parser_skip(parser);
    if (rm_parser_take(parser, "(")) {
        RM_TRY(rm_parser_expression(parser, node));
        if (rm_parser_take(parser, ")")) return RINGMOE_OK;
        return rm_parser_fail(parser, "a closing parenthesis was expected");
    }
    RM_TRY(rm_parser_node(parser, RM_NODE_LIST, node));
    if (rm_parser_take(parser, "[")) return rm_parser_elements(parser, "]", false, &(*node)->a);
    char c = parser->at < parser->end ? *parser->at : '\0';
    if (c == '"' || c == '\'') return parse_string(parser, *node);
    if (c >= '0' && c <= '9') return parse_number(parser, *node);
    if (is_of_name(c)) return parse_name(parser, *node);
    return rm_parser_fail(parser, "a value was expected");
}

/* --- what stands behind a value
 * ------------------------------------------------------------------ */

/* A node of `kind` around what was read so far. */
static ringmoe_status wrap(template_parser *parser, rm_node_kind kind, rm_node **node)
{
    rm_node *outer;
    RM_TRY(rm_parser_node(parser, kind, &outer));
    outer->a = *node;
    *node = outer;
    return RINGMOE_OK;
}

/* Behind [: an index, or a slice whose parts may all be left out. */
static ringmoe_status parse_index(template_parser *parser, rm_node *node)
{
    if (!rm_parser_take(parser, ":")) {
        RM_TRY(rm_parser_expression(parser, &node->b));
        if (rm_parser_take(parser, "]")) return RINGMOE_OK;
        if (!rm_parser_take(parser, ":"))
            return rm_parser_fail(parser, "a closing bracket was expected");
    }
    node->kind = RM_NODE_SLICE;
    if (rm_parser_take(parser, "]")) return RINGMOE_OK;
    if (!rm_parser_take(parser, ":")) {
        RM_TRY(rm_parser_expression(parser, &node->c));
        if (rm_parser_take(parser, "]")) return RINGMOE_OK;
        if (!rm_parser_take(parser, ":"))
            return rm_parser_fail(parser, "a closing bracket was expected");
    }
    if (rm_parser_take(parser, "]")) return RINGMOE_OK;
    RM_TRY(rm_parser_expression(parser, &node->d));
    if (rm_parser_take(parser, "]")) return RINGMOE_OK;
    return rm_parser_fail(parser, "a closing bracket was expected");
}

static ringmoe_status parse_behind(template_parser *parser, rm_node **node)
{
    for (int n = 0;; n++) {
        if (n > RM_TEMPLATE_DEPTH) return rm_parser_fail(parser, "nested too deeply");
        if (rm_parser_take(parser, ".")) {
            RM_TRY(wrap(parser, RM_NODE_ATTRIBUTE, node));
            RM_TRY(rm_parser_name(parser, &(*node)->text));
        } else if (rm_parser_take(parser, "[")) {
            RM_TRY(wrap(parser, RM_NODE_INDEX, node));
            RM_TRY(parse_index(parser, *node));
        } else if (rm_parser_take(parser, "(")) {
            RM_TRY(wrap(parser, RM_NODE_CALL, node));
            RM_TRY(rm_parser_elements(parser, ")", true, &(*node)->b));
        } else if (rm_parser_take(parser, "|")) {
            RM_TRY(wrap(parser, RM_NODE_FILTER, node));
            RM_TRY(rm_parser_name(parser, &(*node)->text));
            if (rm_parser_take(parser, "("))
                RM_TRY(rm_parser_elements(parser, ")", true, &(*node)->b));
        } else if (rm_parser_take_word(parser, "is")) {
            RM_TRY(wrap(parser, RM_NODE_TEST, node));
            if (rm_parser_take_word(parser, "not")) (*node)->word = "not";
            RM_TRY(rm_parser_name(parser, &(*node)->text));
        } else {
            return RINGMOE_OK;
        }
    }
}

static ringmoe_status parse_signed(template_parser *parser, rm_node **node)
{
    rm_node *outer = NULL;
    if (++parser->depth > RM_TEMPLATE_DEPTH) return rm_parser_fail(parser, "nested too deeply");
    rm_parser_skip(parser);
    bool ends_tag = parser->end - parser->at > 1 && parser->at[0] == '-' &&
                    (parser->at[1] == '%' || parser->at[1] == '}');
    if (!ends_tag && rm_parser_take(parser, "-")) {
        RM_TRY(rm_parser_node(parser, RM_NODE_MINUS, &outer));
        RM_TRY(parse_signed(parser, &outer->a));
        *node = outer;
    } else {
        RM_TRY(parse_value(parser, node));
        RM_TRY(parse_behind(parser, node));
    }
    parser->depth--;
    return RINGMOE_OK;
}

/* --- operations
 * ---------------------------------------------------------------------------------- */

/* Levels from the loosest to the tightest; longer signs before those they begin with. */
enum { COMPARISONS = 0, LEVELS = 4 };
static const char *const operations[LEVELS][8] = {
    {"==", "!=", "<=", ">=", "<", ">", "in", "not in"},
    {"+", "-", NULL},
    {"~", NULL},
    {"*", "//", "/", "%", NULL},
};

/* A sign that belongs to the end of the tag is none. */
static bool ends_tag(const template_parser *parser)
{
    const char *at = parser->at;
    if (at < parser->end && (*at == '-' || *at == '+')) at++;
    return parser->end - at > 1 && (*at == '%' || *at == '}') && at[1] == '}';
}

/* The operation that comes next, NULL: none of this level. */
static const char *take_operation(template_parser *parser, int level)
{
    rm_parser_skip(parser);
    if (ends_tag(parser)) return NULL;
    for (int i = 0; i < 8 && operations[level][i]; i++) {
        const char *word = operations[level][i], *before = parser->at;
        if (strcmp(word, "not in") == 0) {
            if (rm_parser_take_word(parser, "not") && rm_parser_take_word(parser, "in"))
                return word;
            parser->at = before;
        } else if (is_of_name(*word) ? rm_parser_take_word(parser, word)
                                     : rm_parser_take(parser, word)) {
            return word;
        }
    }
    return NULL;
}

static ringmoe_status parse_level(template_parser *parser, int level, rm_node **node)
{
    const char *word;
    if (level == LEVELS) return parse_signed(parser, node);
    RM_TRY(parse_level(parser, level + 1, node));
    for (int n = 0; (word = take_operation(parser, level)); n++) {
        if (n > RM_TEMPLATE_DEPTH) return rm_parser_fail(parser, "too long an expression");
        if (n > 0 && level == COMPARISONS)
            return rm_parser_fail(parser, "a comparison of a comparison is not done");
        RM_TRY(wrap(parser, RM_NODE_BINARY, node));
        (*node)->word = word;
        RM_TRY(parse_level(parser, level + 1, &(*node)->b));
    }
    return RINGMOE_OK;
}

static ringmoe_status parse_not(template_parser *parser, rm_node **node)
{
    if (!rm_parser_take_word(parser, "not")) return parse_level(parser, 0, node);
    if (++parser->depth > RM_TEMPLATE_DEPTH) return rm_parser_fail(parser, "nested too deeply");
    RM_TRY(rm_parser_node(parser, RM_NODE_NOT, node));
    RM_TRY(parse_not(parser, &(*node)->a));
    parser->depth--;
    return RINGMOE_OK;
}

/* `and`, `or` */
static ringmoe_status parse_joined(template_parser *parser, const char *word, rm_node **node)
{
    bool is_or = *word == 'o';
    RM_TRY(is_or ? parse_joined(parser, "and", node) : parse_not(parser, node));
    for (int n = 0; rm_parser_take_word(parser, word); n++) {
        if (n > RM_TEMPLATE_DEPTH) return rm_parser_fail(parser, "too long an expression");
        RM_TRY(wrap(parser, RM_NODE_BINARY, node));
        (*node)->word = word;
        RM_TRY(is_or ? parse_joined(parser, "and", &(*node)->b)
                     : parse_not(parser, &(*node)->b));
    }
    return RINGMOE_OK;
}

ringmoe_status rm_parser_plain_expression(template_parser *parser, rm_node **node)
{
    return parse_joined(parser, "or", node);
}

ringmoe_status rm_parser_expression(template_parser *parser, rm_node **node)
{
    if (++parser->depth > RM_TEMPLATE_DEPTH) return rm_parser_fail(parser, "nested too deeply");
    RM_TRY(rm_parser_plain_expression(parser, node));
    if (rm_parser_take_word(parser, "if")) {
        RM_TRY(wrap(parser, RM_NODE_CHOICE, node));
        RM_TRY(rm_parser_plain_expression(parser, &(*node)->b));
        if (rm_parser_take_word(parser, "else"))
            RM_TRY(rm_parser_expression(parser, &(*node)->c));
    }
    parser->depth--;
    return RINGMOE_OK;
}
