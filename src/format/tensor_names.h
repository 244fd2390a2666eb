/* SPDX-License-Identifier: MIT
 *
 * The names one parameter has in files: its own, of Hugging Face's layout of a tensor an
 * expert; that of the tensor of all experts which newer files have; and GGUF's.
 */
#ifndef RM_TENSOR_NAMES_H
#define RM_TENSOR_NAMES_H

#include <stdbool.h>

enum { RM_TENSOR_NAME_BYTES = 96 };

typedef struct rm_tensor_names {
    char fused[RM_TENSOR_NAME_BYTES]; /* "": it has none */
    int fused_index, fused_count; /* it is this part, of so many, of the fused tensor's rows */
    char gguf[RM_TENSOR_NAME_BYTES]; /* of all experts, if it is an expert's */
    bool turned;                     /* a row a feature of a head whose pairs are rotated */
    int layer;                       /* -1: none */
    int expert;                      /* -1: none */
} rm_tensor_names;

/* False if no parameter of a model has that name. */
bool rm_tensor_names_of(const char *name, rm_tensor_names *names);

#endif
