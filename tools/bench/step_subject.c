/* SPDX-License-Identifier: MIT
 *
 * A way of making training steps: the model as it is asked for, or changed in the one respect
 * it is compared in.
 */
#include "step.h"

/* The same active size: every layer dense, as wide as the k experts a token passes and the
 * shared one. */
static ringmoe_model_config dense_twin(const ringmoe_model_config *config)
{
    ringmoe_model_config dense = *config;
    dense.dense_intermediate_size = config->num_experts_per_tok * config->intermediate_size +
                                    config->shared_expert_intermediate_size;
    dense.num_local_experts = 0;
    return dense;
}

static bool takes_part(const tool_session *session, const bench_subject *subject)
{
    return !subject->is_one_rank || session->rank == 0;
}

/* A failure of any rank that takes part is everyone's; the sleeping ones hear of it from the
 * first. */
static int settle(const tool_session *session, const bench_subject *subject,
                  ringmoe_status status)
{
    const char *line = subject->context ? ringmoe_context_error(subject->context) : "";
    if (!line[0]) line = session->line[0] ? session->line : ringmoe_status_text(status);
    if (subject->is_one_rank) session_share_asleep(session, &status, sizeof status);
    bool is_usage = status == RINGMOE_ERROR_ARGUMENT || status == RINGMOE_ERROR_LAYOUT;
    return session_settle(session,
                          status == RINGMOE_OK ? EXIT_DONE
                          : is_usage           ? EXIT_USAGE
                                               : EXIT_FAILED,
                          line);
}

/* A context and a mesh of its own, on all ranks or on one with all their threads. */
static ringmoe_status open_own(tool_session *session, const step_options *options,
                               step_against against, bench_subject *subject)
{
    ringmoe_context_settings settings;
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(session->mesh);
    int n_experts = subject->config.num_local_experts;
    session_context_settings(session, &options->placement, &settings);
    settings.kernel_level = ringmoe_context_kernel_level(session->context);
    if (against == AGAINST_NO_OVERLAP) settings.overlap = RINGMOE_OVERLAP_OFF;
    if (subject->is_one_rank) {
        settings.n_threads = session->size * ringmoe_context_threads(session->context);
        dims = (ringmoe_mesh_dims){1, 1, 1, 1};
    }
    ringmoe_status status =
        ringmoe_context_create(subject->is_one_rank ? MPI_COMM_SELF : MPI_COMM_WORLD, &settings,
                               &subject->own_context);
    subject->context = subject->own_context;
    if (status == RINGMOE_OK)
        status =
            ringmoe_mesh_create(subject->own_context, &dims, n_experts, &subject->own_mesh);
    subject->mesh = subject->own_mesh;
    return status;
}

static ringmoe_status open_rank(tool_session *session, const step_options *options,
                                step_against against, const ringmoe_tokens *tokens,
                                bench_subject *subject)
{
    ringmoe_status status = RINGMOE_OK;
    if (against == AGAINST_NO_OVERLAP || against == AGAINST_ONE_RANK)
        status = open_own(session, options, against, subject);
    if (status != RINGMOE_OK) return status;
    return ringmoe_trainer_create(subject->mesh, &subject->config, &subject->train, tokens,
                                  &subject->trainer);
}

/* In chunks, gradients travel while earlier layers still go backward. */
static void hide_nothing(const tool_session *session, ringmoe_train_settings *train)
{
    if (ringmoe_mesh_get_dims(session->mesh).pipeline == 1) train->chunks = 1;
}

int against_subjects(step_against against)
{
    return against == AGAINST_NOTHING ? 0 : against == AGAINST_SHADOW ? 2 : 1;
}

/* What is different in number `i`. */
static void change(const tool_session *session, step_against against, int i,
                   bench_subject *subject)
{
    switch (against) {
    case AGAINST_NOTHING:
        return;
    case AGAINST_DENSE:
        subject->config = dense_twin(&subject->config);
        return;
    case AGAINST_NO_OVERLAP:
        hide_nothing(session, &subject->train);
        return;
    case AGAINST_REPRODUCIBLE:
        subject->train.reproducible = 1;
        return;
    case AGAINST_ONE_RANK:
        subject->is_one_rank = true;
        subject->train.schedule[0] = '\0';
        subject->train.chunks = 0;
        return;
    case AGAINST_SHADOW:
        subject->train.shadow = (subject->train.shadow + i) % 3;
        return;
    }
}

int subject_open(tool_session *session, const step_options *options, step_against against,
                 int i, const ringmoe_model_config *config, const ringmoe_tokens *tokens,
                 bench_subject *subject)
{
    *subject = (bench_subject){.config = *config,
                               .train = options->train,
                               .context = session->context,
                               .mesh = session->mesh};
    load_prepare((step_load)options->load, &subject->config, &subject->train);
    change(session, against, i, subject);
    ringmoe_status status = RINGMOE_OK;
    if (takes_part(session, subject))
        status = open_rank(session, options, against, tokens, subject);
    return settle(session, subject, status);
}

int subject_step(tool_session *session, bench_subject *subject, bool is_timed)
{
    ringmoe_step_metrics metrics = {0};
    ringmoe_status status = RINGMOE_OK;
    if (takes_part(session, subject)) status = ringmoe_trainer_step(subject->trainer, &metrics);
    int problem = settle(session, subject, status);
    if (problem || !is_timed) return problem;
    bench_add(&subject->step, metrics.step_ms);
    bench_add(&subject->compute, metrics.compute_ms);
    bench_add(&subject->exchange, metrics.exchange_ms);
    bench_add(&subject->wait, metrics.wait_ms);
    bench_add(&subject->pipeline_wait, metrics.pipeline_wait_ms);
    bench_add(&subject->optimizer, metrics.optimizer_ms);
    bench_add(&subject->shadows, (double)metrics.shadowed_experts);
    bench_add(&subject->worst_load, metrics.load_max_over_mean);
    if (takes_part(session, subject)) bench_add(&subject->load, load_of_layers(subject));
    subject->tokens = (double)metrics.tokens;
    return EXIT_DONE;
}

void subject_close(bench_subject *subject)
{
    ringmoe_trainer_destroy(&subject->trainer);
    ringmoe_mesh_destroy(&subject->own_mesh);
    ringmoe_context_destroy(&subject->own_context);
}
