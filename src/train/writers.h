/* SPDX-License-Identifier: MIT
 *
 * Who writes which parameter of a checkpoint. Each is written once and whole, with its moments,
 * by a rank that holds it: of the ranks with its stage and its experts, on tensor place 0, the
 * one whose shard (shards.h) has the middle of it. So moments stay where they are, but for
 * parameters at the bounds of shards and slices of other tensor ranks, and the work is spread
 * as the optimizer's is. Every rank comes to the same answer by itself.
 */
#ifndef RM_WRITERS_H
#define RM_WRITERS_H

#include "model/model.h"

typedef struct rm_writers {
    int n_ranks, n_parameters;
    int *writer;   /* [n_parameters]: rank of the context; -1: a tied head, in no file */
    int *order;    /* [n_written]: parameters such that all writers get something to do; of each
                      writer those in the model's order */
    int n_written; /* parameters in files */
    int *file;     /* [n_ranks]: number of the rank's files, from 0 in the order of the ranks;
                      -1: it writes none */
    int n_files;   /* of weights, and as many of moments */
    int64_t *load; /* [n_ranks]: elements of the parameters it writes */
} rm_writers;

/* Pure: of the whole model's parameters, names of stages, experts and shapes, which are alike
 * in every rank's table. MEMORY. To be freed, also after a failure. */
ringmoe_status rm_writers_create(rm_writers *writers, const rm_parameter_table *table,
                                 const ringmoe_mesh_dims *dims, rm_error *error);
void rm_writers_free(rm_writers *writers);

#endif
