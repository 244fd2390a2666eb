/* SPDX-License-Identifier: MIT
 *
 * Chat templates: the part of Jinja that they use. A template is parsed into a tree of nodes
 * and then walked; both take memory from one pool, which ends with the call. What is written
 * with syntax that is not read here is refused when it is parsed; filters, methods and tests
 * that are not there, when they are come to, so that what tools alone need does not keep a
 * model from a plain conversation.
 */
#ifndef RM_CHAT_TEMPLATE_H
#define RM_CHAT_TEMPLATE_H

#include <stdbool.h>

#include "text/unicode.h"

enum {
    RM_TEMPLATE_BYTES = 1 << 20,  /* of a template */
    RM_TEMPLATE_DEPTH = 100,      /* of nodes in each other */
    RM_RENDER_DEPTH = 1000,       /* of calls of the walk */
    RM_TEMPLATE_STEPS = 20000000, /* nodes walked, and bytes looked through */
    RM_BYTES_A_STEP = 64,
    RM_TEMPLATE_OUTPUT = 1 << 26, /* bytes made, in values and in the text */
};

/* Memory in chunks, given back all at once. A zeroed one is empty. */
typedef struct rm_template_memory {
    struct rm_template_chunk *newest;
} rm_template_memory;
/* Zeroed; NULL without memory. */
void *rm_template_take(rm_template_memory *memory, int64_t bytes);
void rm_template_give_back(rm_template_memory *memory);

typedef enum rm_node_kind {
    RM_NODE_TEXT,    /* as it is */
    RM_NODE_OUTPUT,  /* {{ a }} */
    RM_NODE_IF,      /* a: condition, b: then, c: else */
    RM_NODE_FOR,     /* the names d in a: b; those for which c */
    RM_NODE_SET,     /* text = a; text.member = a */
    RM_NODE_MACRO,   /* text(a, ...): b */
    RM_NODE_LITERAL, /* a text or a number, or none, true, false by `word` */
    RM_NODE_NAME,
    RM_NODE_LIST,      /* a: the first of its elements */
    RM_NODE_ATTRIBUTE, /* a.text */
    RM_NODE_INDEX,     /* a[b] */
    RM_NODE_SLICE,     /* a[b:c:d] */
    RM_NODE_CALL,      /* a(b, ...) */
    RM_NODE_KEYWORD,   /* text=a, an argument */
    RM_NODE_FILTER,    /* a | text(b, ...) */
    RM_NODE_TEST,      /* a is text; word: is not */
    RM_NODE_NOT,
    RM_NODE_MINUS,
    RM_NODE_BINARY, /* a word b */
    RM_NODE_CHOICE, /* a if b else c */
} rm_node_kind;

typedef struct rm_node {
    rm_node_kind kind;
    struct rm_node *a, *b, *c, *d, *next; /* next: statement, element or argument */
    const char *text;
    int64_t bytes;
    const char *member; /* of SET, ends with NUL; NULL: none */
    const char *word;
    int64_t number;
    int line;
} rm_node;

/* The template's first node. Its text must outlive the nodes. FORMAT with the line; MEMORY. */
ringmoe_status rm_template_parse(const char *text, int64_t bytes, rm_template_memory *memory,
                                 rm_node **first, rm_error *error);

typedef enum rm_value_kind {
    RM_VALUE_UNDEFINED,
    RM_VALUE_NONE,
    RM_VALUE_FLAG,
    RM_VALUE_NUMBER,
    RM_VALUE_TEXT,
    RM_VALUE_LIST,
    RM_VALUE_MAP,
    RM_VALUE_MACRO,
} rm_value_kind;

typedef struct rm_value {
    rm_value_kind kind;
    int64_t n; /* number, flag, bytes of a text, elements of a list */
    const char *text;
    struct rm_value *list;
    struct rm_member **map; /* the first member's place, which copies share */
    const rm_node *macro;
} rm_value;

typedef struct rm_member {
    struct rm_member *next;
    const char *name;
    rm_value value;
} rm_member;

/* A walk through a template. */
typedef struct rm_render {
    rm_template_memory *memory;
    rm_error *error;
    rm_bytes output;
    rm_member *variables; /* the newest first */
    rm_member *outermost; /* inside of loops and macros: those of the template itself */
    int inside;           /* of how many */
    int64_t steps, bytes;
    int depth;
} rm_render;

static inline rm_value rm_value_number(int64_t number)
{
    return (rm_value){.kind = RM_VALUE_NUMBER, .n = number};
}
static inline rm_value rm_value_flag(bool flag)
{
    return (rm_value){.kind = RM_VALUE_FLAG, .n = flag};
}
static inline rm_value rm_value_text(const char *text, int64_t bytes)
{
    return (rm_value){.kind = RM_VALUE_TEXT, .text = text, .n = bytes};
}
bool rm_value_is_true(const rm_value *value);

/* Puts a member in front; false without memory. */
bool rm_member_put(rm_render *render, rm_member **first, const char *name, rm_value value);
/* Each member that is looked at is a step. */
rm_member *rm_member_find(rm_render *render, rm_member *first, const char *name);

/* FORMAT with the node's line. */
ringmoe_status rm_template_fail(rm_render *render, const rm_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Counts one more step, and those of looking through bytes. FORMAT beyond the limit. */
ringmoe_status rm_template_spend(rm_render *render, const rm_node *node, int64_t bytes);
/* `bytes` more of values, in new memory. FORMAT beyond the limit, MEMORY. */
ringmoe_status rm_template_room(rm_render *render, const rm_node *node, int64_t bytes,
                                void **room);

/* MEMORY. */
ringmoe_status rm_template_fail_memory(rm_render *render);
/* One node more inside of another; render->depth goes down again behind it. FORMAT: beyond the
 * limits. */
ringmoe_status rm_template_deeper(rm_render *render, const rm_node *node);

/* Into a loop or a macro, whose variables are put in front and given up behind it. */
void rm_template_enter(rm_render *render);
/* A macro becomes a variable, and a call of one the text it puts out. */
ringmoe_status rm_template_define(rm_render *render, const rm_node *node);
ringmoe_status rm_template_call(rm_render *render, const rm_node *node, const rm_node *macro,
                                rm_value *value);

/* The value of an expression. */
ringmoe_status rm_template_evaluate(rm_render *render, const rm_node *node, rm_value *value);
/* A value as the text it is put out as. */
ringmoe_status rm_template_text(rm_render *render, const rm_node *node, rm_value *value);
/* a word b, of everything but `and` and `or`. */
ringmoe_status rm_template_binary(rm_render *render, const rm_node *node, rm_value *a,
                                  rm_value *b, rm_value *value);
/* A filter and a method of a text, with at most RM_MOST_ARGUMENTS; a test. */
enum { RM_MOST_ARGUMENTS = 4 };
ringmoe_status rm_template_filter(rm_render *render, const rm_node *node, rm_value *of,
                                  rm_value *arguments, int n, rm_value *value);
ringmoe_status rm_template_method(rm_render *render, const rm_node *node, const char *name,
                                  const rm_value *of, rm_value *arguments, int n,
                                  rm_value *value);
ringmoe_status rm_template_test(rm_render *render, const rm_node *node, const rm_value *of,
                                bool *holds);
/* A map's members as lists of name and value. */
ringmoe_status rm_template_items(rm_render *render, const rm_node *node, const rm_value *of,
                                 rm_value *value);
/* The walk itself. */
ringmoe_status rm_template_render(rm_render *render, const rm_node *first);

#endif
