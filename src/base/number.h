/* SPDX-License-Identifier: MIT */
#ifndef RM_NUMBER_H
#define RM_NUMBER_H

#include <stdint.h>

#define RM_NUMBER_TEXT 40

/* The largest number that divides both; of 0 and b it is b. */
int64_t rm_common_divisor(int64_t a, int64_t b);

/* The shortest text of a finite number that reads back exactly, with a decimal point in any
 * locale. */
void rm_number_format(double number, char text[RM_NUMBER_TEXT]);

#endif
