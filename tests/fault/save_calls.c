/* SPDX-License-Identifier: MIT
 *
 * Each call that a save makes to the system fails in turn, on each rank: the save says so by
 * name, the checkpoint before it stays, nothing half-written is left, and training goes on to
 * the same bits.
 */
#include "fault.h"

#include <errno.h>

#include "inject.h"

/* What has to become of the save. */
typedef enum outcome { EITHER, SUCCEEDS, FAILS } outcome;

typedef struct failure {
    inject_kind kind;
    int what;
    outcome expected;
} failure;

static const failure failures[] = {
    {INJECT_OPEN, EACCES, EITHER},
    {INJECT_OPEN, EINTR, SUCCEEDS},
    {INJECT_WRITE, ENOSPC, FAILS},
    {INJECT_WRITE, EIO, FAILS},
    {INJECT_WRITE, INJECT_SHORT, SUCCEEDS},
    {INJECT_WRITE, EINTR, SUCCEEDS},
    {INJECT_SYNC, EIO, EITHER},
    {INJECT_SYNC, EINTR, SUCCEEDS},
    {INJECT_WRITEBACK, EIO, FAILS},
    {INJECT_WRITEBACK, ENOSYS, SUCCEEDS},
    {INJECT_WRITEBACK, EINTR, SUCCEEDS},
    {INJECT_RESERVE, ENOSPC, EITHER},
    {INJECT_CLOSE, EIO, EITHER},
    {INJECT_RENAME, EIO, EITHER},
    {INJECT_FOLDER, EACCES, EITHER},
    {INJECT_REMOVE, EIO, EITHER},
    {INJECT_MEMORY, ENOMEM, EITHER},
    {INJECT_MAP, ENOMEM, EITHER},
    {INJECT_THREAD, EAGAIN, EITHER},
};

static struct world writer, reader;
static char (*hashes)[17]; /* of the weights after each step */
static int64_t promised;   /* the step of the last save that succeeded */

static int64_t one_step(struct world *world)
{
    ringmoe_step_metrics metrics = {0};
    CHECK_STATUS(ringmoe_trainer_step(world->trainer, &metrics), RINGMOE_OK,
                 ringmoe_context_error(world->context));
    return metrics.step;
}

/* What the folder holds now is whole, and what was trained up to its step. */
static int64_t read_back(const char *folder)
{
    char hash[17];
    ringmoe_status status = ringmoe_trainer_restore(reader.trainer, folder);
    if (status != RINGMOE_OK) {
        check_report(fault.label, __FILE__, __LINE__, ringmoe_context_error(reader.context));
        return -1;
    }
    int64_t step = ringmoe_trainer_steps_done(reader.trainer);
    CHECK(ringmoe_trainer_weights_hash(reader.trainer, hash) == RINGMOE_OK);
    if (strcmp(hash, hashes[step]) != 0)
        check_report(fault.label, __FILE__, __LINE__, "other weights than were saved");
    return step;
}

static void complain(ringmoe_status status, const char *what)
{
    char line[1024];
    snprintf(line, sizeof line, "%s: %s: status %d, %.500s", fault.label, what, (int)status,
             ringmoe_context_error(writer.context));
    check_report("a save fails as it should", __FILE__, __LINE__, line);
}

/* A call may be one that a save can do without; then it succeeds, and that is true. */
static void judge(const failure *how, ringmoe_status status, int64_t step)
{
    const char *text = ringmoe_context_error(writer.context);
    int64_t found = read_back(fault_path("saved"));
    bool is_known = status == RINGMOE_ERROR_FILE || status == RINGMOE_ERROR_MEMORY;
    if (how->expected == SUCCEEDS && status != RINGMOE_OK)
        complain(status, "should have been survived");
    if (how->expected == FAILS && status == RINGMOE_OK)
        complain(status, "should have been noticed");
    if (status != RINGMOE_OK && (!is_known || text[0] == '\0'))
        complain(status, "no line of its own");
    if (status == RINGMOE_ERROR_FILE && !strstr(text, "saved")) complain(status, "no name");
    if (found != step && (status == RINGMOE_OK || found != promised))
        complain(status, "not the checkpoint before it");
    if (found > 0) promised = found;
    if (how->kind != INJECT_REMOVE && fault_exists("saved.tmp"))
        complain(status, "something half-written is left");
}

/* The first one, which every failure has to leave. */
static void save_undisturbed(void)
{
    promised = one_step(&writer);
    CHECK(ringmoe_trainer_weights_hash(writer.trainer, hashes[promised]) == RINGMOE_OK);
    CHECK_STATUS(fault_save(&writer, fault_path("saved"), false), RINGMOE_OK,
                 ringmoe_context_error(writer.context));
}

/* One save with the n-th call of this rank failing. Returns whether there was such a call. */
static bool try_call(const failure *how, bool is_async, int victim, long n)
{
    int64_t step = one_step(&writer);
    CHECK(ringmoe_trainer_weights_hash(writer.trainer, hashes[step]) == RINGMOE_OK);
    int is_struck = 0;
    if (fault.rank == victim) inject_arm(how->kind, n, how->what);
    ringmoe_status status = fault_save(&writer, fault_path("saved"), is_async);
    if (fault.rank == victim) is_struck = inject_disarm();
    MPI_Bcast(&is_struck, 1, MPI_INT, victim, MPI_COMM_WORLD);
    if (!is_struck) {
        CHECK_STATUS(status, RINGMOE_OK, ringmoe_context_error(writer.context));
        promised = step;
        CHECK(read_back(fault_path("saved")) == step);
    } else {
        judge(how, status, step);
    }
    return is_struck;
}

/* Returns how many saves were struck. */
static long try_all(const failure *how, bool is_async, int victim)
{
    long struck = 0;
    bool is_struck = true;
    for (long n = 1; is_struck && check_failures < 20; n = fault_next(n)) {
        fault_try(60, is_async ? "save beside training, failing" : "save, failing",
                  inject_kind_name(how->kind), n);
        is_struck = try_call(how, is_async, victim, n);
        struck += is_struck;
        MPI_Allreduce(MPI_IN_PLACE, &check_failures, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    }
    return struck;
}

/* Taking the memory of saves in advance, with the n-th call of one rank failing. Returns
 * whether there was such a call. */
static bool try_reserve(inject_kind kind, int victim, long n)
{
    const ringmoe_save_settings settings = {.buffer_bytes = 1 << 20};
    struct world world;
    int is_struck = 0;
    fault_open(&world, MPI_COMM_WORLD, true);
    if (fault.rank == victim) inject_arm(kind, n, ENOMEM);
    ringmoe_status status = ringmoe_trainer_save_reserve(world.trainer, &settings);
    if (fault.rank == victim) is_struck = inject_disarm();
    MPI_Bcast(&is_struck, 1, MPI_INT, victim, MPI_COMM_WORLD);
    CHECK(status == (is_struck ? RINGMOE_ERROR_MEMORY : RINGMOE_OK));
    CHECK(!is_struck || ringmoe_context_error(world.context)[0]);
    CHECK_STATUS(fault_save(&world, fault_path("reserved"), true), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    world_close(&world);
    return is_struck;
}

static long try_reserves(void)
{
    static const inject_kind kinds[] = {INJECT_MEMORY, INJECT_MAP};
    long struck = 0;
    for (int i = 0; i < 2; i++)
        for (int victim = 0; victim < fault.n_ranks; victim++)
            for (long n = 1; check_failures == 0; n++, struck++) {
                fault_try(60, "memory in advance, failing", inject_kind_name(kinds[i]), n);
                bool is_struck = try_reserve(kinds[i], victim, n);
                MPI_Allreduce(MPI_IN_PLACE, &check_failures, 1, MPI_INT, MPI_MAX,
                              MPI_COMM_WORLD);
                if (!is_struck) break;
            }
    return struck;
}

/* Failed saves have changed nothing of what was trained. */
static void compare_with_undisturbed(void)
{
    struct world alone;
    char hash[17];
    fault_try(120, "the undisturbed", "run", 0);
    fault_open(&alone, MPI_COMM_SELF, false);
    int64_t steps = ringmoe_trainer_steps_done(writer.trainer);
    for (int64_t i = 0; i < steps; i++) one_step(&alone);
    CHECK(ringmoe_trainer_weights_hash(alone.trainer, hash) == RINGMOE_OK);
    CHECK(!strcmp(hash, hashes[steps]));
    world_close(&alone);
}

int main(int argc, char **argv)
{
    long struck = 0;
    fault_begin(&argc, &argv);
    hashes = calloc(FAULT_MOST_STEPS + 1, sizeof *hashes);
    fault_open(&writer, MPI_COMM_WORLD, true);
    fault_open(&reader, MPI_COMM_WORLD, false);
    save_undisturbed();
    for (int is_async = 0; is_async < 2; is_async++)
        for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++)
            for (int victim = 0; victim < fault.n_ranks; victim++)
                struck += try_all(&failures[i], is_async, victim);
    struck += try_reserves();
    compare_with_undisturbed();
    if (fault.rank == 0) printf("%ld calls failed in turn\n", struck);
    world_close(&writer);
    world_close(&reader);
    free(hashes);
    return fault_end("save_calls");
}
