/* SPDX-License-Identifier: MIT
 *
 * Where the elements of a parameter lie in a file: in a tensor of its own, or in a slice of one
 * that has all experts of a layer, row after row; in GGUF's files of llama's family the rows of
 * q and k have another order inside each head:
 *
 *   parameter   0 1 2 3 4 5 6 7      (pairs are rows j and j + 4)
 *   tensor      0 4 1 5 2 6 3 7      (pairs lie side by side)
 */
#ifndef RM_WEIGHT_PLACE_H
#define RM_WEIGHT_PLACE_H

#include "format/safetensors.h"
#include "model/model.h"

typedef struct rm_weight_place {
    const rm_tensor *tensor; /* NULL: in no file, as a tied head */
    int64_t first;           /* its element with which the parameter begins */
    int64_t head_rows;       /* 0: rows in order; else paired as above in heads of so many */
} rm_weight_place;

/* Where a row lies in such a tensor. */
static inline int64_t rm_row_turned(int64_t head_rows, int64_t row)
{
    int64_t inside = row % head_rows, half = head_rows / 2;
    return row - inside + 2 * (inside % half) + inside / half;
}

/* The tensor's element with which a row of the parameter begins. */
int64_t rm_weight_place_row(const rm_weight_place *place, const rm_parameter *parameter,
                            int64_t row);

#endif
