/* SPDX-License-Identifier: MIT
 *
 * A save from its start to its end:
 *
 *   start    folder.tmp is made; who writes what is decided; values go into each writer's ring
 *   beside training    the writers' threads bring them to the disk; what a writer has itself
 * they take from where it is, and before it changes what they have not had yet is copied
 *   poll     when all have ended: checksums to rank 0, which writes the small files, the
 * manifest last, and gives the folder its name
 *
 * After each part the ranks agree, so that a failure of one is everyone's and nothing is made
 * known by its name that is not whole.
 */
#ifndef RM_SAVE_H
#define RM_SAVE_H

#include <ringmoe/tokenizer.h>

#include "train/folders.h"
#include "train/output.h"
#include "train/state.h"

/* Zeroed: none is under way. */
typedef struct rm_save {
    bool is_under_way;
    double started, stalled; /* when; seconds that training stood still, on this rank */
    rm_folder_names names;
    rm_state state; /* as it was at the start */
    rm_writers writers;
    rm_output output;
    rm_arena ring;                /* kept from one save to the next, as is */
    ringmoe_tokenizer *tokenizer; /* whose files go into the folder; NULL: none */
} rm_save;

/* What the writers found is brought to rank 0, which completes the temporary folder and gives
 * it its name. *bytes: of all files, on every rank. Collective; a failure is everyone's. */
ringmoe_status rm_save_publish(rm_save *save, const ringmoe_mesh *mesh,
                               const rm_parameter_table *table,
                               const ringmoe_model_config *config, int64_t *bytes);

/* Before weights or moments change: a save that is under way has them as they were. */
void rm_save_keep_values(rm_save *save, const ringmoe_mesh *mesh);

/* Gives up what is under way, of which nothing stays, and frees everything. Collective. */
void rm_save_free(rm_save *save, const ringmoe_mesh *mesh);

#endif
