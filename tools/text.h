/* SPDX-License-Identifier: MIT
 *
 * Numbers, sizes and times for people, and bytes of any kind made safe for a terminal.
 */
#ifndef TOOLS_TEXT_H
#define TOOLS_TEXT_H

#include <stdint.h>
#include <stdio.h>

/* Tokens of a model with at most this many words are bytes of text. */
#define TEXT_VOCABULARY 256

/* Short texts, returned by value so that several fit into one printf: text_count(n).text */
typedef struct short_text {
    char text[32];
} short_text;

short_text text_count(double number);     /* 29.4 M, 1.2 k, 17 */
short_text text_bytes(double bytes);      /* 1.25 GiB, 340 MiB */
short_text text_duration(double seconds); /* 4:10, 1:02:03 */

/* Prints a stream of bytes: valid UTF-8 as it is, control bytes and everything else as \xNN.
 * A character may arrive in pieces. */
typedef struct text_stream {
    FILE *out;
    unsigned char pending[4];
    int n_pending, n_expected;
} text_stream;
void text_stream_begin(text_stream *stream, FILE *out);
void text_stream_put(text_stream *stream, int byte);
void text_stream_end(text_stream *stream);

#endif
