/* SPDX-License-Identifier: MIT */
#include "text.h"

#include <stdbool.h>

static short_text scaled(double number, double step, const char *const *units)
{
    short_text result;
    int unit = 0;
    while (number >= 999.5 && units[unit + 1]) {
        number /= step;
        unit++;
    }
    int decimals = unit == 0 ? 0 : number < 9.995 ? 2 : number < 99.95;
    snprintf(result.text, sizeof result.text, "%.*f%s%s", decimals, number,
             *units[unit] ? " " : "", units[unit]);
    return result;
}

short_text text_count(double number)
{
    static const char *const units[] = {"", "k", "M", "G", "T", NULL};
    return scaled(number, 1000, units);
}

short_text text_bytes(double bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};
    return scaled(bytes, 1024, units);
}

short_text text_duration(double seconds)
{
    short_text result;
    int64_t whole = seconds > 0 ? (int64_t)(seconds + 0.5) : 0;
    int hours = (int)(whole / 3600), minutes = (int)(whole / 60 % 60), rest = (int)(whole % 60);
    if (hours)
        snprintf(result.text, sizeof result.text, "%d:%02d:%02d", hours, minutes, rest);
    else
        snprintf(result.text, sizeof result.text, "%d:%02d", minutes, rest);
    return result;
}

void text_stream_begin(text_stream *stream, FILE *out)
{
    *stream = (text_stream){.out = out};
}

/* Gives up on an unfinished character: its bytes come out as numbers. */
static void flush_escaped(text_stream *stream)
{
    for (int i = 0; i < stream->n_pending; i++)
        fprintf(stream->out, "\\x%02x", stream->pending[i]);
    stream->n_pending = 0;
}

/* Bytes of the character a byte begins, 0 if it can begin none. */
static int character_length(int byte)
{
    if (byte == '\n' || byte == '\t') return 1;
    if (byte < 0x20 || byte == 0x7f) return 0;
    if (byte < 0x80) return 1;
    if (byte >= 0xc2 && byte < 0xe0) return 2;
    if (byte >= 0xe0 && byte < 0xf0) return 3;
    return byte >= 0xf0 && byte < 0xf5 ? 4 : 0;
}

/* Of a finished character: not overlong, not a surrogate, not above U+10FFFF, not a control. */
static bool is_valid(const unsigned char *bytes, int n)
{
    if (n == 2) return bytes[0] > 0xc2 || bytes[1] >= 0xa0;
    if (n == 3 && bytes[0] == 0xe0) return bytes[1] >= 0xa0;
    if (n == 3 && bytes[0] == 0xed) return bytes[1] < 0xa0;
    if (n == 4 && bytes[0] == 0xf0) return bytes[1] >= 0x90;
    if (n == 4 && bytes[0] == 0xf4) return bytes[1] < 0x90;
    return true;
}

void text_stream_put(text_stream *stream, int byte)
{
    bool continues = stream->n_pending > 0 && (byte & 0xc0) == 0x80;
    if (!continues) {
        flush_escaped(stream);
        stream->n_expected = character_length(byte);
    }
    stream->pending[stream->n_pending++] = (unsigned char)byte;
    if (stream->n_expected == 0) flush_escaped(stream);
    if (stream->n_pending == 0 || stream->n_pending < stream->n_expected) return;
    if (is_valid(stream->pending, stream->n_pending)) {
        fwrite(stream->pending, 1, (size_t)stream->n_pending, stream->out);
        stream->n_pending = 0;
    }
    flush_escaped(stream);
}

void text_stream_end(text_stream *stream)
{
    flush_escaped(stream);
    fflush(stream->out);
}
