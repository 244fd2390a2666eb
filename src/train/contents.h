/* SPDX-License-Identifier: MIT
 *
 * The contents of a checkpoint's files, read once by all ranks together: every block is
 * compared with the manifest by each rank that wants something of it, or, if none does, by one
 * of them; what a rank wants lands in its arrays on the way.
 *
 *   blocks of a file  |  header, a  |  a, b  |  b  |  b, c  |
 *   rank 0 wants a    |      x      |    x   |     |        |  and looks after ..
 *   rank 1 wants c    |             |        |  .  |   x    |  .. what nobody wants in turns
 */
#ifndef RM_CONTENTS_H
#define RM_CONTENTS_H

#include "comm/context.h"
#include "format/manifest.h"
#include "train/shares.h"

/* What a rank wants of a tensor, all in bytes. The tensor is a matrix of rows `width` wide, of
 * which this rank's part is a rectangle; of the part, row by row, it wants one stretch. */
typedef struct rm_target {
    int file;           /* in the manifest's list */
    int64_t begin, end; /* of the tensor in the file */
    int64_t width, first_row, n_rows, first_column, n_columns;
    int64_t first, n; /* of the part */
    char *values;     /* [n] */
} rm_target;

typedef struct rm_contents {
    const char *folder;
    const rm_file_manifest *manifest;
    rm_target *targets; /* [n_targets], while reading by file and place */
    int n_targets, room;
} rm_contents;

/* For at most `most` tensors. MEMORY. To be freed in any case. */
ringmoe_status rm_contents_init(rm_contents *contents, const char *folder,
                                const rm_file_manifest *manifest, int most, rm_error *error);
/* A share of a parameter's part, whose tensor begins at byte `begin` of the file of that name.
 * `values`: of the share's first element. FORMAT if the manifest does not list the file. */
ringmoe_status rm_contents_want(rm_contents *contents, const char *file, int64_t begin,
                                const rm_parameter *parameter, const rm_parameter_part *part,
                                rm_share share, rm_real *values, rm_error *error);
/* FORMAT: the first damage in the manifest's order; FILE; MEMORY; MPI. After a failure the
 * values are of no use. Collective over the context. */
ringmoe_status rm_contents_read(rm_contents *contents, ringmoe_context *context);
void rm_contents_free(rm_contents *contents);

#endif
