/* SPDX-License-Identifier: MIT
 *
 * XXH3 at the processor's own vector width, where the system's libxxhash can choose it while it
 * runs; else at the width that the whole family has. The values are the same.
 */
#ifndef RM_XXH3_H
#define RM_XXH3_H

#ifdef RM_HAVE_XXH3_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#endif
