/* SPDX-License-Identifier: MIT
 *
 * Other names than a family's own that a parameter has in files: that of the tensor of all
 * experts which newer files of Hugging Face's have, and GGUF's.
 */
#ifndef RM_TENSOR_NAMES_H
#define RM_TENSOR_NAMES_H

#include "format/families.h"

typedef struct rm_tensor_names {
    char fused[RM_NAME_BYTES];    /* of all experts, or "" */
    int fused_index, fused_count; /* an expert's part, of so many, of the fused tensor's rows */
    char gguf[RM_NAME_BYTES];     /* of all experts, if it is an expert's */
    bool turned;                  /* its rows are features of heads that are rotated in pairs */
} rm_tensor_names;

/* layer counts where the role has one. */
void rm_tensor_names_of(rm_role role, int layer, rm_tensor_names *names);

#endif
