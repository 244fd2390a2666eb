/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "text.h"
#include "verify.h"

void verify_print_header(const tool_session *session, const verify_work *work)
{
    const ringmoe_model_config *config = &work->config;
    const ringmoe_train_settings *train = &work->train;
    int threads = ringmoe_context_threads(session->context), n_dense = 0;
    for (int i = 0; i < config->num_hidden_layers; i++) n_dense += config->is_dense_layer[i];
    printf("ringmoe %s verify: %d rank%s x %d thread%s, kernels %s\n", ringmoe_version(),
           session->size, session->size > 1 ? "s" : "", threads, threads > 1 ? "s" : "",
           ringmoe_context_kernel_level(session->context));
    printf("  model    %s: %s parameters, %d layers (%d dense) of %d, %d experts, top-%d\n",
           work->model ? work->model : "built in",
           text_count((double)ringmoe_model_config_parameters(config)).text,
           config->num_hidden_layers, n_dense, config->hidden_size, config->num_local_experts,
           config->num_experts_per_tok);
    printf("  work     %lld steps of %lld x %lld tokens; the reference is one rank with one "
           "thread\n\n",
           (long long)train->steps, (long long)train->global_batch, (long long)train->seq_len);
    printf("  %-44s %-7s %-9s %-6s %-7s %s\n", "layout", "losses", "gradients", "norms",
           "weights", "seconds");
    fflush(stdout);
}

void verify_print_row(const verify_layout *layout, const verify_record *record,
                      const verify_outcome *outcome)
{
    char name[VERIFY_NAME];
    verify_layout_name(layout, name);
    if (record->status != RINGMOE_OK)
        printf("  %-44s FAILED: %s\n", name, record->text);
    else
        printf("  %-44s %-7s %-9s %-6s %-7s %.2f\n", name, verify_match_word(outcome->losses),
               verify_match_word(outcome->gradients), verify_match_word(outcome->norms),
               verify_match_word(outcome->weights), record->seconds);
    if (outcome->first[0]) printf("      %s\n", outcome->first);
    fflush(stdout);
}

void verify_print_left_out(const verify_layouts *layouts)
{
    if (layouts->n_unfit)
        printf(
            "\n  left out: %d whose axes do not divide the model's layers, heads, experts or "
            "microbatches\n",
            layouts->n_unfit);
    if (layouts->n_beyond)
        printf("\n  left out: %d beyond the first %d; name some with --layouts\n",
               layouts->n_beyond, layouts->count);
}

void verify_print_gradient(const verify_gradient *gradient)
{
    printf("\n  finite differences: %d derivatives, largest error %.2g %% (%s)\n",
           gradient->n_checked, 100 * gradient->worst, gradient->name);
}
