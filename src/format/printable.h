/* SPDX-License-Identifier: MIT
 *
 * Names out of a file end up in messages; a message is one line and moves no terminal's cursor.
 */
#ifndef RM_PRINTABLE_H
#define RM_PRINTABLE_H

/* Control characters become question marks. */
static inline void rm_text_make_printable(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 127) *text = '?';
}

#endif
