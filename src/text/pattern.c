/* SPDX-License-Identifier: MIT */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pattern.h"

#include <pcre2.h>
#include <stdlib.h>

#include "text/pattern_text.h"

struct rm_pattern {
    pcre2_code *code;
    bool is_fast; /* compiled to machine code */
};

struct rm_matcher {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* Of the stack of compiled patterns, and steps of those that could not be compiled. */
enum { FIRST_STACK = 32 << 10, MOST_STACK = 32 << 20, MOST_STEPS = 50000000 };

static ringmoe_status compile(const rm_bytes *text, bool is_literal, rm_pattern *pattern,
                              rm_error *error)
{
    int code;
    size_t at;
    uint32_t options = PCRE2_UTF | PCRE2_NO_UTF_CHECK;
    options |= is_literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    if (!context) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a pattern");
    /* Lines end with \n alone, however this PCRE2 was built. */
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pattern->code = pcre2_compile((PCRE2_SPTR)text->data, (size_t)text->count, options, &code,
                                  &at, context);
    pcre2_compile_context_free(context);
    if (pattern->code) {
        pattern->is_fast = pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE) == 0;
        return RINGMOE_OK;
    }
    if (code == PCRE2_ERROR_HEAP_FAILED)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a pattern");
    PCRE2_UCHAR why[256] = "";
    pcre2_get_error_message(code, why, sizeof why);
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "pattern: %s", (char *)why);
}

ringmoe_status rm_pattern_compile(const char *text, int64_t bytes, bool is_literal,
                                  rm_pattern **pattern, rm_error *error)
{
    rm_bytes translated = {0};
    rm_pattern *made = calloc(1, sizeof *made);
    ringmoe_status status =
        made ? RINGMOE_OK : rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a pattern");
    *pattern = NULL;
    if (status == RINGMOE_OK && is_literal && !rm_bytes_add(&translated, text, bytes))
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a pattern");
    if (status == RINGMOE_OK && !is_literal)
        status = rm_pattern_translate(text, bytes, &translated, error);
    if (status == RINGMOE_OK) status = compile(&translated, is_literal, made, error);
    rm_bytes_free(&translated);
    if (status != RINGMOE_OK) rm_pattern_free(&made);
    *pattern = made;
    return status;
}

void rm_pattern_free(rm_pattern **pattern)
{
    if (!*pattern) return;
    pcre2_code_free((*pattern)->code);
    free(*pattern);
    *pattern = NULL;
}

rm_matcher *rm_matcher_create(void)
{
    rm_matcher *matcher = calloc(1, sizeof *matcher);
    if (!matcher) return NULL;
    matcher->data = pcre2_match_data_create(1, NULL);
    matcher->context = pcre2_match_context_create(NULL);
    matcher->stack = pcre2_jit_stack_create(FIRST_STACK, MOST_STACK, NULL);
    if (!matcher->data || !matcher->context) rm_matcher_free(&matcher);
    if (!matcher) return NULL;
    pcre2_set_match_limit(matcher->context, MOST_STEPS);
    if (matcher->stack) pcre2_jit_stack_assign(matcher->context, NULL, matcher->stack);
    return matcher;
}

void rm_matcher_free(rm_matcher **matcher)
{
    if (!*matcher) return;
    pcre2_jit_stack_free((*matcher)->stack);
    pcre2_match_context_free((*matcher)->context);
    pcre2_match_data_free((*matcher)->data);
    free(*matcher);
    *matcher = NULL;
}

ringmoe_status rm_pattern_find(const rm_pattern *pattern, rm_matcher *matcher, const char *text,
                               int64_t bytes, int64_t from, bool *found, int64_t *begin,
                               int64_t *end, rm_error *error)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int code = pattern->is_fast
                   ? pcre2_jit_match(pattern->code, subject, (size_t)bytes, (size_t)from, 0,
                                     matcher->data, matcher->context)
                   : pcre2_match(pattern->code, subject, (size_t)bytes, (size_t)from,
                                 PCRE2_NO_UTF_CHECK, matcher->data, matcher->context);
    *found = code >= 0;
    if (*found) {
        const size_t *places = pcre2_get_ovector_pointer(matcher->data);
        *begin = (int64_t)places[0];
        *end = (int64_t)places[1];
        return RINGMOE_OK;
    }
    if (code == PCRE2_ERROR_NOMATCH) return RINGMOE_OK;
    if (code == PCRE2_ERROR_NOMEMORY)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to match a pattern");
    if (code == PCRE2_ERROR_HEAP_FAILED)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a pattern");
    PCRE2_UCHAR why[256] = "";
    pcre2_get_error_message(code, why, sizeof why);
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "the tokenizer's pattern takes too much work for this text: %s",
                   (char *)why);
}
