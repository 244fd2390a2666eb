/* SPDX-License-Identifier: MIT
 *
 * Digests of each parameter's weights and gradients: the same on every layout as on one rank,
 * and what they say of a parameter is true.
 */
#include <math.h>
#include <stdlib.h>

#include "train_world.h"

#include "train/replicas.h"
#include "train/shares.h"
#include "train/trainer.h"

enum { MOST_PARAMETERS = 128, MOST_RANKS = 16 };

/* Of a run of one step. */
struct digests {
    int n;
    ringmoe_parameter_digest weights[MOST_PARAMETERS], gradients[MOST_PARAMETERS];
};

static void open_run(struct world *world, MPI_Comm comm, struct layout layout, bool tied)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    config.tie_word_embeddings = tied;
    settings.reproducible = true;
    world_open(world, comm, layout, RINGMOE_PRECISION_FP32);
    CHECK_STATUS(world_train(world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world->context));
}

static void take_digests(struct world *world, struct digests *digests)
{
    digests->n = ringmoe_trainer_parameter_count(world->trainer);
    CHECK(digests->n > 0 && digests->n <= MOST_PARAMETERS);
    CHECK(ringmoe_trainer_digests(world->trainer, RINGMOE_DIGEST_GRADIENTS,
                                  digests->gradients) == RINGMOE_ERROR_STATE);
    CHECK_STATUS(ringmoe_trainer_step(world->trainer, NULL), RINGMOE_OK,
                 ringmoe_context_error(world->context));
    CHECK_STATUS(
        ringmoe_trainer_digests(world->trainer, RINGMOE_DIGEST_WEIGHTS, digests->weights),
        RINGMOE_OK, ringmoe_context_error(world->context));
    CHECK_STATUS(
        ringmoe_trainer_digests(world->trainer, RINGMOE_DIGEST_GRADIENTS, digests->gradients),
        RINGMOE_OK, ringmoe_context_error(world->context));
}

static void check_same(const ringmoe_parameter_digest *a, const ringmoe_parameter_digest *b)
{
    bool same = !strcmp(a->name, b->name) && !strcmp(a->hash, b->hash) &&
                a->n_elements == b->n_elements && a->norm == b->norm &&
                a->projection == b->projection;
    if (!same) check_report("same digest", __FILE__, __LINE__, a->name);
}

/* A one-rank model has each parameter whole. */
static void check_norms(const struct world *alone, const struct digests *digests)
{
    const ringmoe_model *model = alone->trainer->model;
    const rm_parameter_table *table = rm_model_parameters(model);
    int at = 0;
    double all = 0;
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        if (parameter->tied) continue;
        const rm_real *values = rm_model_weights(model, parameter);
        double sum = 0;
        for (int64_t e = 0; e < parameter->n_elements; e++)
            sum += (double)values[e] * (double)values[e];
        CHECK(!strcmp(digests->weights[at].name, parameter->name));
        CHECK(fabs(digests->weights[at].norm - sqrt(sum)) <= 1e-12 * sqrt(sum));
        CHECK(fabs(digests->weights[at].projection) <=
              sqrt(sum * (double)parameter->n_elements));
        all += digests->gradients[at].norm * digests->gradients[at].norm;
        at++;
    }
    CHECK(at == digests->n && isfinite(all) && all > 0);
}

/* One weight changed in one bit changes its parameter's hash, and no other. */
static void check_sensitivity(struct world *alone, const struct digests *digests)
{
    static ringmoe_parameter_digest changed[MOST_PARAMETERS];
    const rm_parameter *second = &rm_model_parameters(alone->trainer->model)->parameters[1];
    rm_real *values = rm_model_weights(alone->trainer->model, second);
    uint32_t bits;
    memcpy(&bits, &values[3], sizeof bits);
    bits ^= 1;
    memcpy(&values[3], &bits, sizeof bits);
    rm_model_pack(alone->trainer->model);
    CHECK(ringmoe_trainer_digests(alone->trainer, RINGMOE_DIGEST_WEIGHTS, changed) ==
          RINGMOE_OK);
    for (int i = 0; i < digests->n; i++)
        CHECK((strcmp(changed[i].hash, digests->weights[i].hash) != 0) == (i == 1));
}

/* Who holds which parameters, known to all ranks without asking each time. */
struct holders {
    int n_ranks;
    char holds[MOST_RANKS][MOST_PARAMETERS];
    int parts[MOST_RANKS]; /* tensor ranks */
};

static void find_holders(const struct world *world, struct holders *holders)
{
    const ringmoe_trainer *trainer = world->trainer;
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    char own[MOST_PARAMETERS] = {0};
    CHECK(table->n_parameters <= MOST_PARAMETERS);
    for (int i = 0; i < table->n_parameters; i++)
        own[i] = rm_model_holds(trainer->model, &table->parameters[i]);
    holders->n_ranks = trainer->mesh->context->world.size;
    MPI_Allgather(own, MOST_PARAMETERS, MPI_CHAR, holders->holds, MOST_PARAMETERS, MPI_CHAR,
                  MPI_COMM_WORLD);
    MPI_Allgather(&trainer->mesh->tensor.rank, 1, MPI_INT, holders->parts, 1, MPI_INT,
                  MPI_COMM_WORLD);
}

/* Copies of what rank `of` has of a parameter; a tied head is a copy of the embedding. */
static int count_copies(const struct holders *holders, const rm_parameter_table *table,
                        const rm_parameter *parameter, int of)
{
    int number = (int)(parameter - table->parameters), n = 0;
    const rm_parameter *head = rm_table_tied_head(table);
    int twin = !head               ? -1
               : parameter == head ? 0
               : number == 0       ? (int)(head - table->parameters)
                                   : -1;
    for (int r = 0; r < holders->n_ranks; r++) {
        if (parameter->slice != RM_SLICE_NONE && holders->parts[r] != holders->parts[of])
            continue;
        n += holders->holds[r][number];
        if (twin >= 0) n += holders->holds[r][twin];
    }
    return n;
}

/* One rank's copy of a parameter goes astray: all ranks are told, if there is another copy. */
static void check_astray(const struct world *world, const struct holders *holders,
                         const rm_parameter *parameter, int astray)
{
    const ringmoe_trainer *trainer = world->trainer;
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    const char *text = ringmoe_context_error(world->context);
    bool is_astray = trainer->mesh->context->world.rank == astray;
    if (!holders->holds[astray][parameter - table->parameters]) return;
    int n_copies = count_copies(holders, table, parameter, astray);
    rm_real *weight = NULL, kept = 0;
    if (is_astray) {
        weight = rm_model_weights(trainer->model, parameter) +
                 rm_own_part(trainer, parameter).n_elements - 1;
        kept = *weight;
        *weight = 1 - kept;
    }
    ringmoe_status status = rm_replicas_check(trainer);
    if (is_astray) *weight = kept;
    if (status != (n_copies > 1 ? RINGMOE_ERROR_MISMATCH : RINGMOE_OK))
        check_report("a copy that is astray", __FILE__, __LINE__, parameter->name);
    if (status == RINGMOE_OK) return;
    char name[32];
    snprintf(name, sizeof name, "rank %d", astray);
    CHECK(strstr(text, parameter->tied ? "model.embed_tokens.weight" : parameter->name));
    CHECK(n_copies > 2 || strstr(text, name));
}

/* One of each kind, cut and place: others are held alike. */
static bool is_another(const rm_parameter *parameter)
{
    static const char *const words[] = {"layers.2.", "experts.1.", "experts.2.", "k_proj",
                                        "v_proj",    "up_proj",    ".w3.",       "post_"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strstr(parameter->name, words[i])) return true;
    return false;
}

/* Every rank's copy in turn. */
static void check_replicas(const struct world *world)
{
    static struct holders holders;
    const rm_parameter_table *table = rm_model_parameters(world->trainer->model);
    find_holders(world, &holders);
    for (int i = 0; i < table->n_parameters; i++)
        for (int rank = 0; rank < holders.n_ranks && !is_another(&table->parameters[i]); rank++)
            check_astray(world, &holders, &table->parameters[i], rank);
    CHECK_STATUS(rm_replicas_check(world->trainer), RINGMOE_OK,
                 ringmoe_context_error(world->context));
}

/* Packs a matrix of other weights than the model's; 0: the rank has none. */
static int pack_another(ringmoe_model *model)
{
    int n_matrices;
    rm_matrix *const *matrices = rm_model_matrices(model, &n_matrices);
    if (n_matrices == 0) return 0;
    rm_real *weight = (rm_real *)matrices[0]->weights, kept = *weight;
    *weight += 1;
    rm_model_pack(model);
    *weight = kept;
    return 1;
}

/* The same for what is no parameter, and through the public calls; a packed form that is not
 * its weights'. */
static void check_others(const struct world *world)
{
    static ringmoe_parameter_digest digests[MOST_PARAMETERS];
    ringmoe_trainer *trainer = world->trainer;
    const rm_axis *all = &trainer->mesh->context->world;
    rm_real *biases = rm_model_router_bias(trainer->model);
    ringmoe_status expected = all->size > 1 ? RINGMOE_ERROR_MISMATCH : RINGMOE_OK;
    char hex[17];
    int is_packed = 0;
    for (int rank = 0; rank < all->size; rank++) {
        rm_real kept = biases[0];
        if (all->rank == rank) biases[0] += 1;
        CHECK(ringmoe_trainer_weights_hash(trainer, hex) == expected);
        CHECK(ringmoe_trainer_digests(trainer, RINGMOE_DIGEST_WEIGHTS, digests) == expected);
        biases[0] = kept;
    }
    CHECK(ringmoe_trainer_digests(trainer, RINGMOE_DIGEST_WEIGHTS, digests) == RINGMOE_OK);
    if (all->rank == all->size - 1) is_packed = pack_another(trainer->model);
    MPI_Bcast(&is_packed, 1, MPI_INT, all->size - 1, MPI_COMM_WORLD);
    CHECK(ringmoe_trainer_digests(trainer, RINGMOE_DIGEST_WEIGHTS, digests) ==
          (is_packed ? RINGMOE_ERROR_MISMATCH : RINGMOE_OK));
    CHECK(ringmoe_trainer_digests(trainer, RINGMOE_DIGEST_WEIGHTS, digests) == RINGMOE_OK);
}

static void compare_layouts(bool tied)
{
    static struct digests expected, found;
    struct layout layouts[MAX_LAYOUTS];
    struct world world;
    int n_ranks;
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    open_run(&world, MPI_COMM_SELF, (struct layout){.data = 1, .expert = 1, .threads = 1},
             tied);
    take_digests(&world, &expected);
    check_norms(&world, &expected);
    check_sensitivity(&world, &expected);
    world_close(&world);
    int n_layouts = layouts_of_axes(n_ranks, layouts);
    for (int i = 0; i < n_layouts; i++) {
        open_run(&world, MPI_COMM_WORLD, layouts[i], tied);
        take_digests(&world, &found);
        CHECK(found.n == expected.n);
        for (int p = 0; p < expected.n; p++) {
            check_same(&found.weights[p], &expected.weights[p]);
            check_same(&found.gradients[p], &expected.gradients[p]);
        }
        if (tied) check_replicas(&world);
        if (tied) check_others(&world);
        world_close(&world);
    }
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    compare_layouts(true);
    compare_layouts(false);
    return check_finish("train_digests");
}
