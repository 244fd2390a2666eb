/* SPDX-License-Identifier: MIT
 *
 * A checkpoint's folder on its way to existence: filled under a temporary name, then renamed,
 * so that whoever looks finds a whole checkpoint or none.
 *
 *   folder.tmp  being filled -> folder;  an older `folder` -> folder.old -> removed
 */
#ifndef RM_FOLDERS_H
#define RM_FOLDERS_H

#include "base/status.h"

typedef struct rm_folder_names {
    char *final, *temporary, *replaced;
} rm_folder_names;

/* ARGUMENT without a name. To be freed also after a failure. */
ringmoe_status rm_folder_names_init(rm_folder_names *names, const char *folder,
                                    rm_error *error);
void rm_folder_names_free(rm_folder_names *names);

/* Makes the temporary folder, empty, and removes what unfinished saves of other steps (names
 * that differ in their last digits) left beside it: folders that hold a checkpoint or nothing
 * but files of one. FILE if `folder` exists and is not a checkpoint, or another's folder has
 * one of the names above. */
ringmoe_status rm_folder_open(const rm_folder_names *names, rm_error *error);
/* Gives it its name; an older checkpoint of that name goes away. */
ringmoe_status rm_folder_publish(const rm_folder_names *names, rm_error *error);
/* Undoes a publication that was cut off between its two renamings: if `folder` is missing and
 * the checkpoint it was to replace is there, that gets its name back. */
ringmoe_status rm_folder_recover(const rm_folder_names *names, rm_error *error);
/* Removes the temporary folder. */
void rm_folder_abandon(const rm_folder_names *names);

#endif
