/* SPDX-License-Identifier: MIT
 *
 * A beat as bytes: whole numbers and reals as 8 bytes, lowest first, then two texts. One list
 * of fields serves both directions.
 */
#include "comm/watchdog_beat.h"

#include <string.h>

typedef struct rm_tape {
    unsigned char *at;
    bool reads;
} rm_tape;

static void pass_word(rm_tape *tape, int64_t *word)
{
    uint64_t bits = (uint64_t)*word;
    if (tape->reads) bits = 0;
    for (int i = 0; i < 8; i++)
        if (tape->reads)
            bits |= (uint64_t)tape->at[i] << (8 * i);
        else
            tape->at[i] = (unsigned char)(bits >> (8 * i));
    tape->at += 8;
    *word = (int64_t)bits;
}

static void pass_integer(rm_tape *tape, int32_t *value)
{
    int64_t word = *value;
    pass_word(tape, &word);
    *value = (int32_t)word;
}

static void pass_real(rm_tape *tape, double *value)
{
    int64_t word;
    memcpy(&word, value, sizeof word);
    pass_word(tape, &word);
    memcpy(value, &word, sizeof word);
}

/* A text that comes in always ends. */
static void pass_text(rm_tape *tape, char *text, size_t bytes)
{
    if (tape->reads) {
        memcpy(text, tape->at, bytes);
        text[bytes - 1] = '\0';
    } else {
        strncpy((char *)tape->at, text, bytes);
    }
    tape->at += bytes;
}

static void pass_occupation(rm_tape *tape, rm_occupation *occupation)
{
    int32_t operation = (int32_t)occupation->label.operation;
    pass_word(tape, &occupation->label.step);
    pass_integer(tape, &occupation->label.layer);
    pass_integer(tape, &occupation->label.microbatch);
    pass_integer(tape, &operation);
    pass_integer(tape, &occupation->partners.rank);
    pass_integer(tape, &occupation->partners.first);
    pass_integer(tape, &occupation->partners.stride);
    pass_integer(tape, &occupation->partners.size);
    pass_integer(tape, &occupation->is_waiting);
    pass_real(tape, &occupation->begin);
    pass_text(tape, occupation->what, sizeof occupation->what);
    occupation->label.operation = (rm_operation)operation;
}

/* 10 words, 10 and a text of the occupation, a text: 20 * 8 + 48 + 48 = 256 bytes. */
static void pass_beat(rm_tape *tape, rm_token *token, rm_beat *beat)
{
    pass_word(tape, &token->words[0]);
    pass_word(tape, &token->words[1]);
    pass_integer(tape, &beat->kind);
    pass_integer(tape, &beat->from);
    pass_integer(tape, &beat->cause);
    pass_integer(tape, &beat->n_waiting);
    pass_word(tape, &beat->n_events);
    pass_real(tape, &beat->seconds);
    pass_integer(tape, &beat->rank);
    pass_integer(tape, &beat->process);
    pass_occupation(tape, &beat->occupation);
    pass_text(tape, beat->host, sizeof beat->host);
}

void rm_beat_encode(const rm_beat *beat, const rm_token *token,
                    unsigned char wire[RM_BEAT_BYTES])
{
    rm_beat copy = *beat;
    rm_token stamp = *token;
    pass_beat(&(rm_tape){.at = wire}, &stamp, &copy);
}

bool rm_beat_decode(const unsigned char wire[RM_BEAT_BYTES], const rm_token *token,
                    rm_beat *beat)
{
    unsigned char bytes[RM_BEAT_BYTES];
    rm_token stamp = {{0, 0}};
    memcpy(bytes, wire, sizeof bytes);
    *beat = (rm_beat){0};
    pass_beat(&(rm_tape){.at = bytes, .reads = true}, &stamp, beat);
    return stamp.words[0] == token->words[0] && stamp.words[1] == token->words[1] &&
           beat->kind >= 0 && beat->kind < RM_N_BEATS && beat->cause >= 0 &&
           beat->cause < RM_N_CAUSES && beat->from >= 0 && beat->rank >= 0;
}
