/* SPDX-License-Identifier: MIT
 *
 * What the operating system tells about the machine. One file a system; meson.build picks it.
 */
#ifndef RM_SYSTEM_H
#define RM_SYSTEM_H

#include <ringmoe/machine.h>

#include <stdbool.h>

/* Fills the fields that do not come from OpenBLAS or the kernel table; unknown ones stay. */
void rm_system_describe(ringmoe_machine *machine);

/* Appends a word to a list parted by blanks, if it fits whole. */
void rm_words_append(char words[RINGMOE_MACHINE_TEXT], const char *word);
bool rm_words_contain(const char *words, const char *word);

#endif
