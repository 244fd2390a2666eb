/* SPDX-License-Identifier: MIT
 *
 * Whether a run fits into the memory there is, before any of it is taken.
 */
#include "text.h"
#include "train.h"

bool train_plan_memory(const train_job *job, ringmoe_memory_plan *plan)
{
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(job->session->mesh);
    ringmoe_batch_shape batch = execution_batch(&job->options.train);
    return ringmoe_model_memory_plan(job->session->context, &job->config, &dims,
                                     (ringmoe_precision)job->options.placement.precision,
                                     &batch, plan) == RINGMOE_OK;
}

/* What weighs most is what to make smaller. */
static const char *option_to_lower(const ringmoe_memory_plan *plan)
{
    int64_t grows_with_batch = plan->activations + plan->exchange;
    return grows_with_batch > plan->total / 2 ? "--microbatch or --seq-len" : "--model";
}

int train_check_memory(const train_job *job)
{
    const tool_session *session = job->session;
    ringmoe_memory_plan plan;
    ringmoe_machine machine;
    char text[512] = "";
    ringmoe_machine_describe(&machine);
    /* A plan that cannot be made is explained when the trainer is. */
    if (!train_plan_memory(job, &plan)) return EXIT_DONE;
    double needed = (double)plan.total * session->node_size;
    double free_bytes = (double)machine.memory_free_bytes;
    bool fits = free_bytes <= 0 || needed <= free_bytes;
    if (!fits)
        snprintf(text, sizeof text,
                 "%d rank%s of this node need %s of memory, of which %s are free: give a "
                 "smaller %s, or use more nodes",
                 session->node_size, session->node_size > 1 ? "s" : "", text_bytes(needed).text,
                 text_bytes(free_bytes).text, option_to_lower(&plan));
    return session_settle(session, fits ? EXIT_DONE : EXIT_FAILED, text);
}
