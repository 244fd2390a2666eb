/* SPDX-License-Identifier: MIT
 *
 * What the processor can do and the operating system lets programs use: it must save the wide
 * registers. For simd/levels.c alone.
 */
#ifndef RM_PROCESSOR_H
#define RM_PROCESSOR_H

#include <stdbool.h>

bool rm_processor_has_avx2(void);       /* and FMA, F16C */
bool rm_processor_has_avx512(void);     /* F, BW, DQ, VL */
bool rm_processor_has_avx512bf16(void); /* and all of the former */
/* And tile registers with bf16; asks the system for the permission to use them, which holds for
 * the process. */
bool rm_processor_has_amx(void);

bool rm_processor_has_neonbf16(void);

#endif
