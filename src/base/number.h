/* SPDX-License-Identifier: MIT */
#ifndef RM_NUMBER_H
#define RM_NUMBER_H

#define RM_NUMBER_TEXT 40

/* The shortest text of a finite number that reads back exactly, with a decimal point in any
 * locale. */
void rm_number_format(double number, char text[RM_NUMBER_TEXT]);

#endif
