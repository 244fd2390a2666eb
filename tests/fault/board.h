/* SPDX-License-Identifier: MIT
 *
 * A file in memory that a process which will be killed and the one that kills it both see. It
 * stays when its writer is gone.
 */
#ifndef BOARD_H
#define BOARD_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BOARD_STEPS = 2000, BOARD_RANKS = 4 };

typedef struct board {
    int pids[BOARD_RANKS];
    int is_saving[BOARD_RANKS];       /* this rank, now */
    int is_beside[BOARD_RANKS];       /* and that save runs beside training */
    int saves;                        /* begun since the start */
    double save_seconds;              /* how long the last one took */
    int64_t loaded, promised;         /* steps: found at the start; of the last finished save */
    char hashes[BOARD_STEPS + 1][17]; /* of the undisturbed run's weights */
} board;

/* NULL: it cannot be made. */
static inline board *board_open(const char *path)
{
    int descriptor = open(path, O_RDWR | O_CREAT, 0600);
    void *memory = MAP_FAILED;
    if (descriptor >= 0 && ftruncate(descriptor, sizeof(board)) == 0)
        memory = mmap(NULL, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (descriptor >= 0) close(descriptor);
    return memory == MAP_FAILED ? NULL : memory;
}

#endif
