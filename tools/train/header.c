/* SPDX-License-Identifier: MIT
 *
 * What `ringmoe train` says before the first step: the model, the data, the layout, and the
 * memory it will take.
 */
#include "train.h"

#include <math.h>

#include "advice.h"
#include "text.h"

static void print_model(const train_job *job)
{
    const ringmoe_model_config *config = &job->config;
    fprintf(job->screen, "  model    %s: %s parameters, %s active a token, %d layers of %d",
            job->options.model,
            text_count((double)ringmoe_model_config_parameters(config)).text,
            text_count((double)ringmoe_model_config_active_parameters(config)).text,
            config->num_hidden_layers, config->hidden_size);
    if (config->num_local_experts)
        fprintf(job->screen, ", %d experts, top-%d", config->num_local_experts,
                config->num_experts_per_tok);
    fputc('\n', job->screen);
}

static void print_data(const train_job *job)
{
    double entropy = ringmoe_tokens_entropy(job->data);
    fprintf(job->screen, "  data     %s: %s tokens", job->options.data,
            text_count((double)ringmoe_tokens_count(job->data)).text);
    if (job->val)
        fprintf(job->screen, ", %s held out for validation",
                text_count((double)ringmoe_tokens_count(job->val)).text);
    else
        fprintf(job->screen, ", no validation (held-out part shorter than a sequence)");
    if (!isnan(entropy))
        fprintf(job->screen,
                "\n           the loss cannot fall below %.4f, the language's entropy",
                entropy);
    fputc('\n', job->screen);
}

static void print_steps(const train_job *job)
{
    const ringmoe_train_settings *train = &job->options.train;
    double tokens = (double)(train->global_batch * train->seq_len);
    double all = tokens * (double)train->steps;
    fprintf(job->screen,
            "  steps    %lld of %lld x %lld tokens: %s in all, %.2f times the data\n",
            (long long)train->steps, (long long)train->global_batch, (long long)train->seq_len,
            text_count(all).text, all / (double)ringmoe_tokens_count(job->data));
}

/* "stages of 3, 2, 2, 3 layers", of many the first. */
static void print_stages(const train_job *job)
{
    enum { MOST = 16 };
    int bounds[RINGMOE_MAX_LAYERS + 1], n_stages = ringmoe_trainer_stages(job->trainer, bounds);
    fprintf(job->screen, "           %d stages of ", n_stages);
    for (int stage = 0; stage < n_stages && stage < MOST; stage++)
        fprintf(job->screen, "%s%d", stage ? ", " : "", bounds[stage + 1] - bounds[stage]);
    fprintf(job->screen, "%s layers\n", n_stages > MOST ? ", ..." : "");
}

static void print_layout(const train_job *job)
{
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(job->session->mesh);
    int experts = job->config.num_local_experts;
    ringmoe_train_settings in_force;
    fprintf(job->screen, "  layout   %s", session_layout_words(job->session).text);
    if (experts)
        fprintf(job->screen, ", %d of %d experts a rank", experts / dims.expert, experts);
    fprintf(job->screen, ", %s, kernels %s\n",
            job->options.placement.precision ? "bf16" : "fp32",
            ringmoe_context_kernel_level(job->session->context));
    ringmoe_trainer_settings(job->trainer, &in_force);
    placement_text words = execution_words(&dims, &in_force);
    if (words.text[0]) fprintf(job->screen, "           %s\n", words.text);
    if (in_force.recompute != job->options.execution.recompute)
        fprintf(job->screen,
                "           recompute %s, not %s: the second half of %s's backward pass needs "
                "what lies between\n",
                recompute_name(in_force.recompute),
                recompute_name(job->options.execution.recompute), in_force.schedule);
    if (dims.pipeline > 1) print_stages(job);
}

static void print_memory(const train_job *job, const ringmoe_machine *machine)
{
    ringmoe_memory_plan plan;
    if (!train_plan_memory(job, &plan)) return;
    fprintf(job->screen, "  memory   %s a rank expected; this node has %s free\n",
            text_bytes((double)plan.total).text,
            text_bytes((double)machine->memory_free_bytes).text);
}

/* Where the run is and what it begins with. */
static void print_beginning(const train_job *job)
{
    char changes[512];
    bool is_resumed = job->options.resume == RESUME_RUN;
    fprintf(job->screen, "  run      %s%s\n", job->run.path, is_resumed ? " (resumed)" : "");
    if (is_resumed)
        fprintf(job->screen, "  from     step %lld%s",
                (long long)ringmoe_trainer_steps_done(job->trainer),
                job->saves.step < 0 ? ", since no checkpoint had been made" : "");
    else if (job->weights[0])
        fputs("  from     step 0", job->screen);
    if (job->weights[0]) fprintf(job->screen, ", with the weights of %s", job->weights);
    if (job->leaves_weights)
        fputs("  from     random weights; --resume=weights begins with the model's",
              job->screen);
    if (is_resumed || job->weights[0] || job->leaves_weights) fputc('\n', job->screen);
    options_describe_changes(&train_option_set, json_object_get(job->resumed, "settings"),
                             &job->options, changes, sizeof changes);
    if (changes[0]) fprintf(job->screen, "  changed  %s\n", changes);
}

void train_print_header(const train_job *job)
{
    ringmoe_machine machine;
    ringmoe_machine_describe(&machine);
    fprintf(job->screen, "ringmoe %s train\n", ringmoe_version());
    print_model(job);
    print_data(job);
    print_steps(job);
    print_layout(job);
    print_memory(job, &machine);
    print_beginning(job);
    advice_print(job->session, &machine, "  warning  ", job->screen);
    fputc('\n', job->screen);
    fflush(job->screen);
}
