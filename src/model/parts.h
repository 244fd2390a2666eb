/* SPDX-License-Identifier: MIT
 *
 * Where the elements of a tensor rank's part of a parameter lie in the whole one. Both are
 * row-major; a part of rows is one run of the whole, a part of columns one run a row:
 *
 *   whole  | a a a A A A |      part  | A A A |      runs  3..5, 9..11
 *          | b b b B B B |            | B B B |
 */
#ifndef RM_PARTS_H
#define RM_PARTS_H

#include "model/model.h"

/* Elements that lie side by side in the part and in the whole. */
typedef struct rm_part_run {
    int64_t global; /* index of the first in the whole */
    int64_t n;
} rm_part_run;

/* The run that begins at element `at` of the part, of at most `most` elements. */
rm_part_run rm_part_run_at(const rm_parameter *parameter, const rm_parameter_part *part,
                           int64_t at, int64_t most);

#endif
