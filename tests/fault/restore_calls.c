/* SPDX-License-Identifier: MIT
 *
 * Each call that a restore makes to the system fails in turn, on each rank: it is refused with
 * a line of its own on every rank and changes nothing, or leaves a trainer that refuses to go
 * on; the next one, undisturbed, succeeds.
 */
#include "fault.h"

#include <errno.h>

#include "inject.h"

static const struct {
    inject_kind kind;
    int what;
    bool is_survived;
} failures[] = {
    {INJECT_OPEN, EACCES, false},   {INJECT_OPEN, EINTR, true},
    {INJECT_READ, EIO, false},      {INJECT_READ, INJECT_SHORT, true},
    {INJECT_READ, EINTR, true},     {INJECT_RENAME, EIO, false},
    {INJECT_MEMORY, ENOMEM, false}, {INJECT_MAP, ENOMEM, false},
    {INJECT_THREAD, EAGAIN, false}, {INJECT_CLOSE, EIO, true},
    {INJECT_FETCH, EIO, false},
};
enum { N_FAILURES = sizeof failures / sizeof failures[0], SAVED_STEPS = 2 };

static struct curve expected; /* of the undisturbed run */

/* Steps first..last - 1 as in the undisturbed run; moments show in the second. */
static void check_goes_on(struct world *world, int first, int last)
{
    for (int i = first; i < last; i++) {
        ringmoe_step_metrics metrics = {0};
        CHECK_STATUS(ringmoe_trainer_step(world->trainer, &metrics), RINGMOE_OK,
                     ringmoe_context_error(world->context));
        if (metrics.loss != expected.steps[i].loss ||
            metrics.grad_norm != expected.steps[i].grad_norm)
            check_report(fault.label, __FILE__, __LINE__, "the steps are others");
    }
}

static void judge_refusal(struct world *world, int failure, ringmoe_status status)
{
    const char *text = ringmoe_context_error(world->context);
    bool is_known = status == RINGMOE_ERROR_FILE || status == RINGMOE_ERROR_MEMORY ||
                    status == RINGMOE_ERROR_FORMAT;
    if (failures[failure].is_survived || !is_known || text[0] == '\0')
        check_report(fault.label, __FILE__, __LINE__, text);
    if (ringmoe_trainer_steps_done(world->trainer) != 0)
        check_report(fault.label, __FILE__, __LINE__, "a refused restore counts steps");
}

/* One restore with the n-th call of this rank failing. Returns whether there was such a call. A
 * trainer that was restored all the same is of no more use. */
static bool try_call(struct world *world, int failure, int victim, long n, bool *is_restored)
{
    int is_struck = 0;
    if (fault.rank == victim) inject_arm(failures[failure].kind, n, failures[failure].what);
    ringmoe_status status = ringmoe_trainer_restore(world->trainer, fault_path("saved"));
    if (fault.rank == victim) is_struck = inject_disarm();
    MPI_Bcast(&is_struck, 1, MPI_INT, victim, MPI_COMM_WORLD);
    *is_restored = status == RINGMOE_OK;
    if (!*is_restored) judge_refusal(world, failure, status);
    if (!*is_restored && !is_struck)
        check_report(fault.label, __FILE__, __LINE__, "refused without a reason");
    return is_struck;
}

/* Every refusal is followed by another try; in the end the trainer is still a new one. */
static long try_all(int failure, int victim)
{
    struct world world;
    bool is_struck = true, is_restored = true;
    long struck = 0;
    fault_open(&world, MPI_COMM_WORLD, false);
    for (long n = 1; is_struck && check_failures < 20; n = fault_next(n)) {
        fault_try(60, "restore, failing", inject_kind_name(failures[failure].kind), n);
        is_struck = try_call(&world, failure, victim, n, &is_restored);
        struck += is_struck;
        if (is_restored) check_goes_on(&world, SAVED_STEPS, SAVED_STEPS + 1);
        if (is_restored && is_struck) {
            world_close(&world);
            fault_open(&world, MPI_COMM_WORLD, false);
        }
        MPI_Allreduce(MPI_IN_PLACE, &check_failures, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    }
    world_close(&world);
    return struck;
}

/* A trainer that was only refused begins as a new one does. */
static void refused_is_untouched(int failure)
{
    struct world world;
    bool is_restored = false, is_struck = true;
    fault_open(&world, MPI_COMM_WORLD, true);
    for (long n = 1; n <= 4 && is_struck && !is_restored; n++) {
        fault_try(60, "steps after failing", inject_kind_name(failures[failure].kind), n);
        is_struck = try_call(&world, failure, fault.n_ranks - 1, n, &is_restored);
    }
    if (!is_restored) check_goes_on(&world, 0, 3);
    world_close(&world);
}

/* A restore whose n-th call to read fails: a trainer that was changed goes on with nothing
 * until it has been restored. Returns whether there was such a call. */
static bool try_half_way(inject_kind kind, int victim, long n, long *n_changed)
{
    struct world world;
    char before[17], after[17];
    int is_struck = 0;
    fault_open(&world, MPI_COMM_WORLD, false);
    CHECK(ringmoe_trainer_weights_hash(world.trainer, before) == RINGMOE_OK);
    if (fault.rank == victim) inject_arm(kind, n, EIO);
    ringmoe_status status = ringmoe_trainer_restore(world.trainer, fault_path("saved"));
    if (fault.rank == victim) is_struck = inject_disarm();
    MPI_Bcast(&is_struck, 1, MPI_INT, victim, MPI_COMM_WORLD);
    /* Copies that differ by now are refused a hash. */
    ringmoe_status hashed = ringmoe_trainer_weights_hash(world.trainer, after);
    if (status != RINGMOE_OK && (hashed != RINGMOE_OK || strcmp(before, after) != 0)) {
        (*n_changed)++;
        CHECK(ringmoe_trainer_step(world.trainer, NULL) == RINGMOE_ERROR_STATE);
        CHECK(fault_save(&world, fault_path("mixed"), false) == RINGMOE_ERROR_STATE);
        CHECK_STATUS(ringmoe_trainer_restore(world.trainer, fault_path("saved")), RINGMOE_OK,
                     ringmoe_context_error(world.context));
        check_goes_on(&world, SAVED_STEPS, SAVED_STEPS + 1);
    }
    world_close(&world);
    return is_struck;
}

static void half_read_is_of_no_use(void)
{
    static const inject_kind kinds[] = {INJECT_READ, INJECT_FETCH};
    long n_changed = 0;
    for (int i = 0; i < 2; i++) {
        bool is_struck = true;
        for (long n = 1; is_struck && check_failures == 0; n += 1 + n / 4) {
            fault_try(60, "going on after half of", inject_kind_name(kinds[i]), n);
            is_struck = try_half_way(kinds[i], fault.n_ranks - 1, n, &n_changed);
            MPI_Allreduce(MPI_IN_PLACE, &check_failures, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
        }
    }
    CHECK(n_changed > 0);
}

static void make_checkpoint(void)
{
    struct world world;
    fault_open(&world, MPI_COMM_WORLD, true);
    for (int i = 0; i < CURVE_STEPS; i++) {
        CHECK(ringmoe_trainer_step(world.trainer, &expected.steps[i]) == RINGMOE_OK);
        if (i + 1 == SAVED_STEPS)
            CHECK_STATUS(fault_save(&world, fault_path("saved"), false), RINGMOE_OK,
                         ringmoe_context_error(world.context));
    }
    world_close(&world);
}

int main(int argc, char **argv)
{
    long struck = 0;
    fault_begin(&argc, &argv);
    make_checkpoint();
    for (int failure = 0; failure < N_FAILURES; failure++)
        for (int victim = 0; victim < fault.n_ranks; victim++)
            struck += try_all(failure, victim);
    for (int failure = 0; failure < N_FAILURES; failure++) refused_is_untouched(failure);
    half_read_is_of_no_use();
    if (fault.rank == 0) printf("%ld calls failed in turn\n", struck);
    return fault_end("restore_calls");
}
