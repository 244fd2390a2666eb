/* SPDX-License-Identifier: MIT
 *
 * Which call is struck: whose it is, what was asked for, and how many there have been.
 */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const kind_names[INJECT_KINDS] = {
    "open",   "read", "write",  "sync", "writeback", "reserve", "close",   "rename",  "folder",
    "remove", "link", "memory", "map",  "fetch",     "thread",  "message", "exchange"};

static const struct {
    const char *word;
    int what;
} actions[] = {{"ENOSPC", ENOSPC},    {"EIO", EIO},          {"EROFS", EROFS},
               {"EACCES", EACCES},    {"ENOMEM", ENOMEM},    {"EINTR", EINTR},
               {"EMFILE", EMFILE},    {"EAGAIN", EAGAIN},    {"short", INJECT_SHORT},
               {"kill", INJECT_KILL}, {"term", INJECT_TERM}, {"usr1", INJECT_USR1},
               {"loop", INJECT_LOOP}};

enum { MAX_RANGES = 16 };

static struct {
    bool armed, lasts, struck;
    inject_kind kind;
    long n;
    int what;
    long seen[INJECT_KINDS];
    struct {
        uintptr_t first, end;
    } ours[MAX_RANGES];
    int n_ours;
} state;

const char *inject_kind_name(inject_kind kind)
{
    return kind_names[kind];
}

/* The first object is the program, whose name is empty. */
static int note_object(struct dl_phdr_info *object, size_t size, void *first)
{
    (void)size;
    bool is_program = *(bool *)first;
    *(bool *)first = false;
    if (!is_program && !strstr(object->dlpi_name, "libringmoe") &&
        !strstr(object->dlpi_name, "libjansson"))
        return 0;
    for (int i = 0; i < object->dlpi_phnum && state.n_ours < MAX_RANGES; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X)) continue;
        state.ours[state.n_ours].first = object->dlpi_addr + part->p_vaddr;
        state.ours[state.n_ours].end = state.ours[state.n_ours].first + part->p_memsz;
        state.n_ours++;
    }
    return 0;
}

static bool is_ours(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    for (int i = 0; i < state.n_ours; i++)
        if (at >= state.ours[i].first && at < state.ours[i].end) return true;
    return false;
}

void inject_arm(inject_kind kind, long n, int what)
{
    memset(state.seen, 0, sizeof state.seen);
    state.kind = kind;
    state.n = n;
    state.what = what;
    state.lasts = false;
    __atomic_store_n(&state.struck, false, __ATOMIC_SEQ_CST);
    __atomic_store_n(&state.armed, true, __ATOMIC_SEQ_CST);
}

bool inject_disarm(void)
{
    __atomic_store_n(&state.armed, false, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&state.struck, __ATOMIC_SEQ_CST);
}

int inject_strikes(inject_kind kind, const void *caller)
{
    if (!__atomic_load_n(&state.armed, __ATOMIC_SEQ_CST) || !is_ours(caller)) return 0;
    long count = __atomic_add_fetch(&state.seen[kind], 1, __ATOMIC_SEQ_CST);
    bool is_meant = count == state.n || (state.lasts && count > state.n);
    if (kind != state.kind || !is_meant) return 0;
    __atomic_store_n(&state.struck, true, __ATOMIC_SEQ_CST);
    if (state.what == INJECT_KILL) kill(getpid(), SIGKILL);
    while (state.what == INJECT_LOOP) __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (state.what != INJECT_TERM && state.what != INJECT_USR1) return state.what;
    kill(getpid(), state.what == INJECT_TERM ? SIGTERM : SIGUSR1);
    return 0;
}

/* --- the environment -----------------------------------------------------------------------
 */

static void refuse(const char *text)
{
    fprintf(stderr, "INJECT=%s: not KIND:N:WHAT\n", text);
    _exit(2);
}

static void arm_by_text(const char *text)
{
    char kind[16], what[16], plus[2] = "";
    long n;
    int known_kind = -1, known_what = 0;
    if (sscanf(text, "%15[a-z]:%ld%1[+]:%15s", kind, &n, plus, what) != 4 &&
        sscanf(text, "%15[a-z]:%ld:%15s", kind, &n, what) != 3)
        refuse(text);
    for (int i = 0; i < INJECT_KINDS; i++)
        if (strcmp(kind, kind_names[i]) == 0) known_kind = i;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(what, actions[i].word) == 0) known_what = actions[i].what;
    if (known_kind < 0 || known_what == 0) refuse(text);
    inject_arm((inject_kind)known_kind, n, known_what);
    state.lasts = plus[0] == '+';
}

static bool is_rank_meant(void)
{
    const char *wanted = getenv("INJECT_RANK"), *own = getenv("PMI_RANK");
    return !wanted || (own && strcmp(wanted, own) == 0);
}

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("INJECT");
    bool first = true;
    dl_iterate_phdr(note_object, &first);
    if (!is_rank_meant()) return;
    if (text)
        arm_by_text(text);
    else if (getenv("INJECT_COUNTS"))
        inject_arm(INJECT_OPEN, 0, EIO);
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("INJECT_COUNTS");
    if (!path || !is_rank_meant()) return;
    inject_disarm();
    FILE *file = fopen(path, "w");
    if (!file) return;
    for (int i = 0; i < INJECT_KINDS; i++)
        fprintf(file, "%s %ld\n", kind_names[i], state.seen[i]);
    fclose(file);
}
