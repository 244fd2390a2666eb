/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <string.h>

double peak_scalar(void), peak_avx2(void), peak_neon(void);

double peak_of_level(const char *level)
{
    if (strcmp(level, "scalar") == 0) return peak_scalar();
#ifdef RM_HAVE_AVX2
    if (strcmp(level, "avx2") == 0) return peak_avx2();
#endif
#ifdef RM_HAVE_NEON
    if (strcmp(level, "neon") == 0) return peak_neon();
#endif
    return 0;
}
