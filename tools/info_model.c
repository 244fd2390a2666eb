/* SPDX-License-Identifier: MIT */
#include "info.h"

#include "text.h"

/* The parts of the memory plan: a row each, in the order of the screen and of the JSON. */
typedef struct plan_row {
    const char *name, *what;
    size_t offset;
} plan_row;

static const plan_row plan_rows[] = {
    {"parameters", "master weights", offsetof(ringmoe_memory_plan, parameters)},
    {"packed", "weights laid out for the kernels", offsetof(ringmoe_memory_plan, packed)},
    {"gradients", "gradients and their reduction", offsetof(ringmoe_memory_plan, gradients)},
    {"optimizer", "AdamW moments", offsetof(ringmoe_memory_plan, optimizer)},
    {"activations", "of the microbatches on their way",
     offsetof(ringmoe_memory_plan, activations)},
    {"exchange", "buffers of the exchange", offsetof(ringmoe_memory_plan, exchange)},
    {"total", "a rank", offsetof(ringmoe_memory_plan, total)},
};
enum { N_PLAN_ROWS = sizeof plan_rows / sizeof plan_rows[0] };

/* One sentence if training does not fit into this node's free memory as it is laid out. */
static bool lacks_memory(const tool_session *session, const ringmoe_memory_plan *plan,
                         char *text, size_t size)
{
    ringmoe_machine machine;
    ringmoe_machine_describe(&machine);
    double free_bytes = (double)machine.memory_free_bytes;
    double needed = (double)plan->total * session->node_size;
    if (free_bytes <= 0 || needed <= free_bytes) return false;
    snprintf(text, size, "%d rank%s of this node would need %s, and %s are free",
             session->node_size, session->node_size > 1 ? "s" : "", text_bytes(needed).text,
             text_bytes(free_bytes).text);
    return true;
}

static int64_t plan_value(const ringmoe_memory_plan *plan, const plan_row *row)
{
    return *(const int64_t *)((const char *)plan + row->offset);
}

static void print_text(const tool_session *session, const info_options *options,
                       const ringmoe_model_config *config, const ringmoe_mesh_dims *dims,
                       const ringmoe_memory_plan *plan, const info_files *found)
{
    printf("model        %s\n", options->model);
    info_print_config(config);
    info_files_print(found);
    printf("batch        %lld sequences of %lld tokens, microbatches of %lld, %s\n",
           (long long)options->train.global_batch, (long long)options->train.seq_len,
           (long long)options->train.microbatch,
           options->placement.precision ? "bf16" : "fp32");
    placement_text words = execution_words(dims, &options->train);
    printf("layout       pp %d x dp %d x ep %d x tp %d%s%s\n\n", dims->pipeline, dims->data,
           dims->expert, dims->tensor, words.text[0] ? ", " : "", words.text);
    printf("memory of training, on the rank that needs most\n");
    for (int i = 0; i < N_PLAN_ROWS; i++)
        printf("  %-12s %10s  %s\n", plan_rows[i].name,
               text_bytes((double)plan_value(plan, &plan_rows[i])).text, plan_rows[i].what);
    char warning[256];
    if (lacks_memory(session, plan, warning, sizeof warning))
        printf("warning      %s\n", warning);
}

static int print_json(const tool_session *session, const info_options *options,
                      const ringmoe_model_config *config, const ringmoe_mesh_dims *dims,
                      const ringmoe_memory_plan *plan, const info_files *found)
{
    json_t *memory = json_object();
    for (int i = 0; i < N_PLAN_ROWS; i++)
        json_object_set_new(memory, plan_rows[i].name,
                            json_integer(plan_value(plan, &plan_rows[i])));
    json_t *object = json_pack(
        "{s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o}", "model",
        options->model, "family", ringmoe_family_name(config->family), "parameters",
        (json_int_t)ringmoe_model_config_parameters(config), "active_parameters",
        (json_int_t)ringmoe_model_config_active_parameters(config), "layers",
        config->num_hidden_layers, "experts", config->num_local_experts, "experts_per_token",
        config->num_experts_per_tok, "context_length", config->max_position_embeddings,
        "vocab_size", config->vocab_size, "pp", dims->pipeline, "dp", dims->data, "ep",
        dims->expert, "tp", dims->tensor, "memory", memory);
    info_files_to_json(found, object);
    char warning[256];
    if (lacks_memory(session, plan, warning, sizeof warning))
        json_object_set_new(object, "warning", json_string(warning));
    return session_print_json(session, object);
}

/* The layout asked for need not be the one this process has: a plan allocates nothing. */
static int plan_dims(tool_session *session, const tool_placement *placement, int n_experts,
                     ringmoe_mesh_dims *dims)
{
    *dims = placement_dims(placement);
    if (dims->pipeline || dims->data || dims->expert || dims->tensor) {
        int *sizes[] = {&dims->pipeline, &dims->data, &dims->expert, &dims->tensor};
        for (int i = 0; i < 4; i++)
            if (*sizes[i] == 0) *sizes[i] = 1;
        return EXIT_DONE;
    }
    int status = session_layout(session, placement, n_experts);
    if (!status) *dims = ringmoe_mesh_get_dims(session->mesh);
    return status;
}

int info_model(tool_session *session, const info_options *options)
{
    ringmoe_batch_shape batch = execution_batch(&options->train);
    ringmoe_model_config config;
    ringmoe_memory_plan plan;
    ringmoe_mesh_dims dims;
    int status = source_config(session, options->model, &config);
    if (!status && options->train.global_batch % options->train.microbatch)
        status = session_fail(
            session, EXIT_USAGE, "--global-batch %lld: give a multiple of --microbatch %lld",
            (long long)options->train.global_batch, (long long)options->train.microbatch);
    if (!status)
        status = plan_dims(session, &options->placement, config.num_local_experts, &dims);
    if (!status)
        status = session_check(
            session, ringmoe_model_memory_plan(session->context, &config, &dims,
                                               (ringmoe_precision)options->placement.precision,
                                               &batch, &plan));
    info_files found = {.tokenizer = NULL};
    if (!status) status = info_files_open(session, options->model, &found);
    if (!status && session->rank == 0 && options->json)
        status = print_json(session, options, &config, &dims, &plan, &found);
    else if (!status && session->rank == 0)
        print_text(session, options, &config, &dims, &plan, &found);
    info_files_close(&found);
    return status;
}
