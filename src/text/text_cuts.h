/* SPDX-License-Identifier: MIT
 *
 * Where a text may be cut so that its pieces, encoded one by one, have the ids of the whole.
 */
#ifndef RM_TEXT_CUTS_H
#define RM_TEXT_CUTS_H

#include "text/tokenizer.h"

/* What may stand on both sides of a cut. */
typedef struct rm_text_cuts {
    bool before_blanks;      /* a letter | a blank */
    bool before_lines;       /* a letter | an end of line */
    bool signs_before_lines; /* a punctuation mark | an end of line */
    bool behind_lines;       /* an end of line | a letter */
} rm_text_cuts;

rm_text_cuts rm_text_cuts_of(const ringmoe_tokenizer *tokenizer);
/* Whether there are any. */
bool rm_text_cuts_exist(const rm_text_cuts *cuts);
/* The first place from `from` on, `bytes`: none. */
int64_t rm_text_cuts_find(const rm_text_cuts *cuts, const char *text, int64_t bytes,
                          int64_t from);

#endif
