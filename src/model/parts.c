/* SPDX-License-Identifier: MIT */
#include "model/parts.h"

rm_part_run rm_part_run_at(const rm_parameter *parameter, const rm_parameter_part *part,
                           int64_t at, int64_t most)
{
    int64_t width = parameter->shape[1];
    int64_t row = at / part->n_columns, column = at % part->n_columns;
    rm_part_run run = {(part->first_row + row) * width + part->first_column + column, most};
    int64_t left = part->n_columns - column;
    if (part->n_columns < width && left < most) run.n = left;
    return run;
}
