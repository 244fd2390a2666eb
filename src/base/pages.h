/* SPDX-License-Identifier: MIT
 *
 * Pages of a file's mapping: asked for ahead; brought in many at a time, which is what makes a
 * mapping as fast as reading; and given back, so that a file of any size takes little memory.
 */
#ifndef RM_PAGES_H
#define RM_PAGES_H

#include <stdbool.h>
#include <stdint.h>

/* Has the disk begin to read the pages that these bytes of a mapping lie on, all at once.
 * Touches none of them, so that a file that was cut does no harm, and promises nothing. */
void rm_pages_ask(const void *data, int64_t bytes);
/* Brings in the pages that these bytes of a mapping lie on. False if the file does not have
 * them any more or they cannot be read: touching them would end the process. A file that is cut
 * between this call and the touch still does; where the system cannot bring pages in so, the
 * answer is true. */
bool rm_pages_fetch(const void *data, int64_t bytes);
/* Gives back the pages that these bytes of a read-only mapping lie on, whole; touching them
 * again brings them in again. */
void rm_pages_release(const void *data, int64_t bytes);

#endif
