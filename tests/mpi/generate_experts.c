/* SPDX-License-Identifier: MIT
 *
 * Experts that stay in their file: the same texts as with all of them in memory. A rank that
 * cannot read one, because the file was cut, ends all ranks with an error, in generation and in
 * evaluation; once the file is whole again, so are the texts.
 */
#include "text_world.h"

/* The file without its last quarter, which has experts of the last ranks; and as it was. */
static void cut_file(void **tail, int64_t *n)
{
    struct stat about = {.st_size = 0};
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        FILE *file = fopen(path_of("model.safetensors"), "r+b");
        CHECK(file && fstat(fileno(file), &about) == 0);
        *n = about.st_size / 4;
        *tail = malloc((size_t)*n);
        CHECK(fseek(file, (long)(about.st_size - *n), SEEK_SET) == 0);
        CHECK(fread(*tail, 1, (size_t)*n, file) == (size_t)*n);
        CHECK(ftruncate(fileno(file), about.st_size - *n) == 0 && fclose(file) == 0);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void mend_file(void *tail, int64_t n)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        FILE *file = fopen(path_of("model.safetensors"), "ab");
        CHECK(file && fwrite(tail, 1, (size_t)n, file) == (size_t)n && fclose(file) == 0);
        free(tail);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* One rank cannot read; all of them fail, also in evaluation, whose microbatches go on. */
static void check_failure(struct world *world, int32_t stop)
{
    struct text texts[N_TEXTS];
    ringmoe_tokens *tokens;
    ringmoe_eval_result result;
    begin_texts(texts);
    CHECK(make_texts(world, 0, N_TEXTS, stop, texts) == RINGMOE_ERROR_FILE);
    CHECK_TEXT(ringmoe_context_error(world->context), "became shorter");
    CHECK(ringmoe_tokens_synthetic(world->context, 1, 4096, &tokens) == RINGMOE_OK);
    CHECK(ringmoe_model_evaluate(world->model, tokens, 16, 2, 0, &result) ==
          RINGMOE_ERROR_FILE);
    ringmoe_tokens_destroy(&tokens);
}

static void test_experts_in_file(void)
{
    ringmoe_model_config config = config_of(RINGMOE_FAMILY_MIXTRAL);
    ringmoe_load_settings settings = settings_of(RINGMOE_WEIGHTS_Q8_0, 3);
    struct world world;
    struct text expected[N_TEXTS];
    int expert = size > 1 ? 2 : 1;
    void *tail = NULL;
    int64_t n_tail = 0;
    make_folder(&config);
    world_open(&world, MPI_COMM_SELF, (ringmoe_mesh_dims){1, 1, 1, 1}, 4, &settings);
    int32_t stop = make_alone(&world, expected);
    world_close(&world);
    settings.experts_in_memory = 100000 * expert / size; /* one takes 26 KiB of one rank */
    settings.max_tokens = 64;
    world_open(&world, MPI_COMM_WORLD, (ringmoe_mesh_dims){1, 1, expert, size / expert}, 4,
               &settings);
    check_together(&world, stop, expected);
    cut_file(&tail, &n_tail);
    check_failure(&world, stop);
    mend_file(tail, n_tail);
    check_together(&world, stop, expected);
    world_close(&world);
    remove_folder();
}

int main(int argc, char **argv)
{
    begin(&argc, &argv);
    test_experts_in_file();
    return check_finish("generate_experts");
}
