/* SPDX-License-Identifier: MIT
 *
 * What the two halves of the parser share: statements (template_parse.c) and the expressions in
 * them (template_expression.c).
 */
#ifndef RM_TEMPLATE_PARSE_H
#define RM_TEMPLATE_PARSE_H

#include "text/chat_template.h"

typedef struct template_parser {
    const char *begin, *at, *end;
    rm_template_memory *memory;
    rm_error *error;
    bool strips_next, trims_next; /* what the last tag's end says of the text behind it */
    int depth;
    const char *counted; /* lines up to here */
    int lines;
} template_parser;

ringmoe_status rm_parser_fail(const template_parser *parser, const char *what);
ringmoe_status rm_parser_node(template_parser *parser, rm_node_kind kind, rm_node **node);
void rm_parser_skip(template_parser *parser);
/* Takes signs, or a whole word, if they come next. */
bool rm_parser_take(template_parser *parser, const char *signs);
bool rm_parser_take_word(template_parser *parser, const char *word);
/* In new memory, ended by NUL. */
ringmoe_status rm_parser_name(template_parser *parser, const char **name);
ringmoe_status rm_parser_expression(template_parser *parser, rm_node **node);
/* Expressions parted by commas up to a closing sign; of arguments some are name=value. */
ringmoe_status rm_parser_elements(template_parser *parser, const char *closing,
                                  bool are_arguments, rm_node **first);
/* One without `a if b else c` at its top. */
ringmoe_status rm_parser_plain_expression(template_parser *parser, rm_node **node);

#endif
