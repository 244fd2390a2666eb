/* SPDX-License-Identifier: MIT
 *
 * The statements of a template and the text between them. Blanks around tags go as Jinja's
 * trim_blocks and lstrip_blocks have it, with which templates of models are written.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/template_parse.h"

/* --- memory ---------------------------------------------------------------------------------
 */

enum { CHUNK_BYTES = 1 << 14 };

typedef struct rm_template_chunk {
    struct rm_template_chunk *older;
    int64_t used, room;
    _Alignas(16) char data[];
} rm_template_chunk;

void *rm_template_take(rm_template_memory *memory, int64_t bytes)
{
    rm_template_chunk *chunk = memory->newest;
    bytes = (bytes + 15) / 16 * 16;
    if (!chunk || chunk->room - chunk->used < bytes) {
        int64_t room = bytes < CHUNK_BYTES ? CHUNK_BYTES : bytes;
        chunk = calloc(1, sizeof *chunk + (size_t)room);
        if (!chunk) return NULL;
        chunk->older = memory->newest;
        chunk->room = room;
        memory->newest = chunk;
    }
    void *taken = chunk->data + chunk->used;
    chunk->used += bytes;
    return taken;
}

void rm_template_give_back(rm_template_memory *memory)
{
    while (memory->newest) {
        rm_template_chunk *older = memory->newest->older;
        free(memory->newest);
        memory->newest = older;
    }
}

/* --- text between tags
 * ------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
}

/* A tag that begins here: its kind %, { or #; 0: none. */
static char tag_at(const char *at, const char *end)
{
    if (end - at < 2 || at[0] != '{') return 0;
    return at[1] == '%' || at[1] == '{' || at[1] == '#' ? at[1] : 0;
}

/* The text behind the last tag, up to the next one or the end. */
static ringmoe_status read_text(template_parser *parser, rm_node **last)
{
    const char *begin = parser->at, *end = begin;
    while (end < parser->end && !tag_at(end, parser->end)) end++;
    parser->at = end;
    const char *stop = end;
    if (parser->strips_next) {
        while (begin < stop && is_space(*begin)) begin++;
    } else if (parser->trims_next && begin < stop && *begin == '\n') {
        begin++;
    }
    bool at_line = begin == parser->begin || begin[-1] == '\n';
    char tag = tag_at(end, parser->end);
    char sign = tag && parser->end - end > 2 ? end[2] : 0;
    if (sign == '-') {
        while (stop > begin && is_space(stop[-1])) stop--;
    } else if ((tag == '%' || tag == '#') && sign != '+') {
        const char *blank = stop;
        while (blank > begin && (blank[-1] == ' ' || blank[-1] == '\t')) blank--;
        if (blank > begin ? blank[-1] == '\n' : at_line) stop = blank;
    } else if (!tag && stop > begin && stop[-1] == '\n') {
        stop--;
    }
    if (stop == begin) return RINGMOE_OK;
    rm_node *node;
    RM_TRY(rm_parser_node(parser, RM_NODE_TEXT, &node));
    node->text = begin;
    node->bytes = stop - begin;
    (*last)->next = node;
    *last = node;
    return RINGMOE_OK;
}

/* --- tags
 * ---------------------------------------------------------------------------------------- */

/* Opens a tag at the cursor: what follows is read in words. */
static void open_tag(template_parser *parser)
{
    parser->at += 2;
    if (parser->at < parser->end && (*parser->at == '-' || *parser->at == '+')) parser->at++;
}

/* The end of a tag: -%}, %} and so on. */
static ringmoe_status close_tag(template_parser *parser, char kind)
{
    char closing = kind == '{' ? '}' : kind;
    rm_parser_skip(parser);
    const char *at = parser->at;
    bool strips = at < parser->end && *at == '-', keeps = at < parser->end && *at == '+';
    if (strips || keeps) at++;
    if (parser->end - at < 2 || at[0] != closing || at[1] != '}')
        return rm_parser_fail(parser, "the end of a tag was expected");
    parser->at = at + 2;
    parser->strips_next = strips;
    parser->trims_next = kind != '{' && !keeps;
    return RINGMOE_OK;
}

static ringmoe_status skip_comment(template_parser *parser)
{
    const char *at = parser->at + 2;
    while (parser->end - at >= 2 && (at[0] != '#' || at[1] != '}')) at++;
    if (parser->end - at < 2) return rm_parser_fail(parser, "a comment without an end");
    parser->strips_next = at[-1] == '-' && at > parser->at + 2;
    parser->trims_next = true;
    parser->at = at + 2;
    return RINGMOE_OK;
}

/* The words that end a list of statements. */
static const char *const of_if[] = {"elif", "else", "endif", NULL};
static const char *const of_else[] = {"endif", NULL};
static const char *const of_for[] = {"endfor", NULL};
static const char *const of_macro[] = {"endmacro", NULL};
static const char *const of_nothing[] = {NULL};

static ringmoe_status parse_list(template_parser *parser, const char *const *ends,
                                 rm_node **first, const char **end);

/* Behind `if` or `elif`. */
static ringmoe_status parse_if(template_parser *parser, rm_node *node)
{
    const char *end;
    node->kind = RM_NODE_IF;
    if (++parser->depth > RM_TEMPLATE_DEPTH) return rm_parser_fail(parser, "nested too deeply");
    RM_TRY(rm_parser_expression(parser, &node->a));
    RM_TRY(close_tag(parser, '%'));
    RM_TRY(parse_list(parser, of_if, &node->b, &end));
    if (strcmp(end, "elif") == 0) {
        RM_TRY(rm_parser_node(parser, RM_NODE_IF, &node->c));
        RM_TRY(parse_if(parser, node->c));
    } else if (strcmp(end, "else") == 0) {
        RM_TRY(close_tag(parser, '%'));
        RM_TRY(parse_list(parser, of_else, &node->c, &end));
        RM_TRY(close_tag(parser, '%'));
    } else {
        RM_TRY(close_tag(parser, '%'));
    }
    parser->depth--;
    return RINGMOE_OK;
}

static ringmoe_status parse_for(template_parser *parser, rm_node *node)
{
    const char *end;
    node->kind = RM_NODE_FOR;
    rm_node **name = &node->d;
    do {
        RM_TRY(rm_parser_node(parser, RM_NODE_NAME, name));
        RM_TRY(rm_parser_name(parser, &(*name)->text));
        name = &(*name)->next;
    } while (rm_parser_take(parser, ","));
    if (!rm_parser_take_word(parser, "in")) return rm_parser_fail(parser, "for without in");
    RM_TRY(rm_parser_plain_expression(parser, &node->a));
    if (rm_parser_take_word(parser, "if")) RM_TRY(rm_parser_expression(parser, &node->c));
    RM_TRY(close_tag(parser, '%'));
    RM_TRY(parse_list(parser, of_for, &node->b, &end));
    return close_tag(parser, '%');
}

static ringmoe_status parse_set(template_parser *parser, rm_node *node)
{
    node->kind = RM_NODE_SET;
    RM_TRY(rm_parser_name(parser, &node->text));
    if (rm_parser_take(parser, ".")) RM_TRY(rm_parser_name(parser, &node->member));
    if (!rm_parser_take(parser, "="))
        return rm_parser_fail(parser, "set without = is not done");
    RM_TRY(rm_parser_expression(parser, &node->a));
    return close_tag(parser, '%');
}

static ringmoe_status parse_macro(template_parser *parser, rm_node *node)
{
    const char *end;
    node->kind = RM_NODE_MACRO;
    RM_TRY(rm_parser_name(parser, &node->text));
    if (!rm_parser_take(parser, "(")) return rm_parser_fail(parser, "a macro without (");
    RM_TRY(rm_parser_elements(parser, ")", true, &node->a));
    for (const rm_node *at = node->a; at; at = at->next)
        if (at->kind != RM_NODE_NAME && at->kind != RM_NODE_KEYWORD)
            return rm_parser_fail(parser, "a macro takes names and name=value");
    RM_TRY(close_tag(parser, '%'));
    RM_TRY(parse_list(parser, of_macro, &node->b, &end));
    return close_tag(parser, '%');
}

static ringmoe_status refuse_statement(template_parser *parser)
{
    const char *name;
    char what[128];
    RM_TRY(rm_parser_name(parser, &name));
    snprintf(what, sizeof what, "%.40s is not done: if, for, set and macro are", name);
    return rm_parser_fail(parser, what);
}

/* At {%: a statement, or a word of `ends`, which goes to *end. */
static ringmoe_status parse_statement(template_parser *parser, const char *const *ends,
                                      rm_node *node, const char **end)
{
    open_tag(parser);
    for (; *ends; ends++)
        if (rm_parser_take_word(parser, *ends)) {
            *end = *ends;
            return RINGMOE_OK;
        }
    if (rm_parser_take_word(parser, "if")) return parse_if(parser, node);
    if (rm_parser_take_word(parser, "for")) return parse_for(parser, node);
    if (rm_parser_take_word(parser, "set")) return parse_set(parser, node);
    if (rm_parser_take_word(parser, "macro")) return parse_macro(parser, node);
    return refuse_statement(parser);
}

/* Statements up to one of `ends`, whose word is behind the cursor then; without ends up to the
 * end of the template. */
static ringmoe_status parse_list(template_parser *parser, const char *const *ends,
                                 rm_node **first, const char **end)
{
    rm_node head = {.kind = RM_NODE_TEXT}, *last = &head;
    *end = NULL;
    if (++parser->depth > RM_TEMPLATE_DEPTH) return rm_parser_fail(parser, "nested too deeply");
    while (!*end) {
        rm_node *node;
        RM_TRY(read_text(parser, &last));
        char tag = tag_at(parser->at, parser->end);
        if (!tag && *ends) return rm_parser_fail(parser, "a statement without its end");
        if (!tag) break;
        if (tag == '#') {
            RM_TRY(skip_comment(parser));
            continue;
        }
        RM_TRY(rm_parser_node(parser, RM_NODE_OUTPUT, &node));
        if (tag == '{') {
            open_tag(parser);
            RM_TRY(rm_parser_expression(parser, &node->a));
            RM_TRY(close_tag(parser, '{'));
        } else {
            RM_TRY(parse_statement(parser, ends, node, end));
            if (*end) break;
        }
        last->next = node;
        last = node;
    }
    *first = head.next;
    parser->depth--;
    return RINGMOE_OK;
}

ringmoe_status rm_template_parse(const char *text, int64_t bytes, rm_template_memory *memory,
                                 rm_node **first, rm_error *error)
{
    const char *end;
    template_parser parser = {
        .begin = text, .at = text, .end = text + bytes, .memory = memory, .error = error};
    if (bytes > RM_TEMPLATE_BYTES || rm_utf8_valid(text, bytes) < bytes)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "chat template: is not UTF-8, or longer than %d bytes",
                       RM_TEMPLATE_BYTES);
    return parse_list(&parser, of_nothing, first, &end);
}
