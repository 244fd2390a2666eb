/* SPDX-License-Identifier: MIT
 *
 * A model whose experts are spread over the ranks against the same model on one rank: the same
 * loss and the same gradients to the bit, for each rank's microbatch; and a folder written by
 * one rank is read by all, each its part.
 */
#include <unistd.h>

#include "format/config.h"
#include "format/safetensors.h"
#include "placed_model.h"

enum { MAX_RANKS = 4, MAX_PARAMETERS = 64 };

/* All ranks of the communicator on the expert axis. */
static placed_model place(MPI_Comm communicator, ringmoe_precision precision)
{
    ringmoe_model_config config = placed_config(RINGMOE_FAMILY_MIXTRAL, 1);
    rm_model_settings settings = {.use = RM_MODEL_TRAINING};
    return place_model(communicator, NULL, precision, &config, settings);
}

static void train(placed_model *placed, int microbatch)
{
    int32_t tokens[TOKENS], targets[TOKENS];
    rm_sink experts[MAX_RANKS], dense = {.data = placed->gradients[RM_KIND_DENSE]};
    int64_t n = rm_model_parameters(placed->model)->space_elements[RM_KIND_EXPERT];
    for (int source = 0; source < placed->mesh->expert.size; source++)
        experts[source] = (rm_sink){.data = placed->gradients[RM_KIND_EXPERT] + source * n};
    rm_batch batch = make_batch(microbatch, tokens, targets);
    CHECK_STATUS(
        rm_model_train_pass(placed->model, &batch, dense, experts, NULL, NULL, &placed->result),
        RINGMOE_OK, ringmoe_context_error(placed->context));
}

/* This rank's experts' gradients from microbatch `source` in both places. */
static void check_experts(const placed_model *spread, const placed_model *alone, int source)
{
    const rm_parameter_table *table = rm_model_parameters(spread->model);
    const rm_parameter_table *whole = rm_model_parameters(alone->model);
    int64_t n = table->space_elements[RM_KIND_EXPERT];
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *p = &table->parameters[i];
        if (p->space != RM_KIND_EXPERT || !rm_model_holds(spread->model, p)) continue;
        CHECK(!memcmp(spread->gradients[RM_KIND_EXPERT] + source * n + p->offset,
                      alone->gradients[RM_KIND_EXPERT] + whole->parameters[i].offset,
                      (size_t)p->n_elements * sizeof(rm_real)));
    }
}

static void check_training(ringmoe_precision precision)
{
    placed_model spread = place(MPI_COMM_WORLD, precision);
    placed_model alone = place(MPI_COMM_SELF, precision);
    int rank = spread.mesh->expert.rank;
    train(&spread, rank);
    for (int source = 0; source < spread.mesh->expert.size; source++) {
        train(&alone, source);
        check_experts(&spread, &alone, source);
        if (source != rank) continue;
        int64_t n = rm_model_parameters(alone.model)->space_elements[RM_KIND_DENSE];
        CHECK(spread.result.loss == alone.result.loss);
        CHECK(spread.result.balance_loss == alone.result.balance_loss);
        CHECK(!memcmp(spread.gradients[RM_KIND_DENSE], alone.gradients[RM_KIND_DENSE],
                      (size_t)n * sizeof(rm_real)));
    }
    remove_model(&spread);
    remove_model(&alone);
}

/* --- loading
 * ---------------------------------------------------------------------------------- */

static void write_folder(const placed_model *alone, const char *folder)
{
    const rm_parameter_table *table = rm_model_parameters(alone->model);
    rm_tensor_entry entries[MAX_PARAMETERS] = {0};
    rm_safetensors_writer *writer;
    rm_error error = {""};
    char path[64];
    int n_stored = table->n_parameters - (rm_table_tied_head(table) != NULL);
    for (int i = 0; i < n_stored; i++) {
        const rm_parameter *p = &table->parameters[i];
        entries[i].n_dims = p->n_dims;
        memcpy(entries[i].name, p->name, sizeof p->name);
        memcpy(entries[i].shape, p->shape, sizeof p->shape);
    }
    snprintf(path, sizeof path, "%s/config.json", folder);
    CHECK(rm_config_write(ringmoe_model_get_config(alone->model), path, &error) == RINGMOE_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    CHECK_STATUS(rm_safetensors_create(path, entries, n_stored, &writer, &error), RINGMOE_OK,
                 error.text);
    for (int i = 0; i < n_stored; i++) {
        const rm_parameter *p = &table->parameters[i];
        CHECK(rm_safetensors_append(writer, rm_model_space(alone->model, p->space) + p->offset,
                                    p->n_elements * (int64_t)sizeof(rm_real),
                                    &error) == RINGMOE_OK);
    }
    CHECK(rm_safetensors_commit(&writer, &error) == RINGMOE_OK);
}

static void remove_file(const char *folder, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(remove(path) == 0);
}

static double evaluate(ringmoe_model *model)
{
    int32_t tokens[TOKENS], targets[TOKENS];
    rm_pass_result result;
    rm_batch batch = make_batch(3, tokens, targets);
    CHECK(rm_model_eval_pass(model, &batch, &result) == RINGMOE_OK);
    return result.loss;
}

static void check_loading(void)
{
    char folder[] = "/tmp/ringmoe-layout-XXXXXX";
    placed_model spread = place(MPI_COMM_WORLD, RINGMOE_PRECISION_FP32);
    placed_model alone = place(MPI_COMM_SELF, RINGMOE_PRECISION_FP32);
    int rank = spread.mesh->dense.rank;
    if (rank == 0) {
        CHECK(mkdtemp(folder) != NULL);
        write_folder(&alone, folder);
    }
    MPI_Bcast(folder, sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
    ringmoe_model_destroy(&spread.model);
    CHECK_STATUS(ringmoe_model_load(spread.mesh, folder, NULL, &spread.model), RINGMOE_OK,
                 ringmoe_context_error(spread.context));
    if (spread.model) CHECK(evaluate(spread.model) == evaluate(alone.model));
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) remove_file(folder, "model.safetensors");
    MPI_Barrier(MPI_COMM_WORLD);
    ringmoe_model_destroy(&spread.model);
    CHECK(ringmoe_model_load(spread.mesh, folder, NULL, &spread.model) == RINGMOE_ERROR_FILE);
    CHECK_TEXT(ringmoe_context_error(spread.context), "model.safetensors");
    if (rank == 0) {
        remove_file(folder, "config.json");
        CHECK(rmdir(folder) == 0);
    }
    remove_model(&spread);
    remove_model(&alone);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    check_training(RINGMOE_PRECISION_FP32);
    check_training(RINGMOE_PRECISION_BF16);
    check_loading();
    return check_finish("model_layout");
}
