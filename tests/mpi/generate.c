/* SPDX-License-Identifier: MIT
 *
 * Generation: the same text on every layout, in any batches of the prompt, and when the text so
 * far is given as the prompt; refusals; stopping.
 */
#include <ringmoe.h>

#include "check.h"
#include "model/model.h"

enum { N_PROMPT = 19, N_NEW = 24 };

static int rank, size;
static int32_t prompt[N_PROMPT + N_NEW];

/* A model with initial weights, on a mesh of its own. */
struct world {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_model *model;
};

static void world_open(struct world *world, MPI_Comm communicator, ringmoe_mesh_dims dims,
                       int64_t max_tokens)
{
    ringmoe_context_settings settings;
    ringmoe_model_config config;
    rm_model_settings model_settings = {
        .use = RM_MODEL_INFERENCE, .max_tokens = max_tokens, .reproducible = true};
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    CHECK(ringmoe_context_create(communicator, &settings, &world->context) == RINGMOE_OK);
    CHECK(ringmoe_model_config_preset(world->context, "tiny", &config) == RINGMOE_OK);
    config.max_position_embeddings = 64;
    config.num_hidden_layers = 3;
    config.is_dense_layer[1] = 1;
    config.initializer_range = 0.2; /* logits far enough apart to tell texts apart */
    CHECK(ringmoe_mesh_create(world->context, &dims, config.num_local_experts, &world->mesh) ==
          RINGMOE_OK);
    CHECK_STATUS(rm_model_create(world->mesh, &config, &model_settings, &world->model),
                 RINGMOE_OK, ringmoe_context_error(world->context));
    rm_model_initialize(world->model, 11);
    CHECK(rm_model_tie_head(world->model) == RINGMOE_OK);
    rm_model_pack(world->model);
}

static void world_close(struct world *world)
{
    ringmoe_model_destroy(&world->model);
    ringmoe_mesh_destroy(&world->mesh);
    ringmoe_context_destroy(&world->context);
}

struct text {
    int32_t tokens[N_NEW];
    int n, stop_at;
};

static int keep_token(void *user, int which, int32_t token)
{
    struct text *text = (struct text *)user + which;
    CHECK(text->n < N_NEW);
    text->tokens[text->n++] = token;
    return text->n == text->stop_at ? RINGMOE_ALL_STOP : RINGMOE_TEXT_GOES_ON;
}

/* One prompt alone, the first n_prompt of `prompt`. */
static ringmoe_status generate(ringmoe_model *model, int64_t n_prompt,
                               const ringmoe_generate_settings *settings, struct text *text)
{
    ringmoe_prompt given = {.tokens = prompt, .n_tokens = n_prompt};
    return ringmoe_generate(model, &given, 1, settings, text ? keep_token : NULL, text, NULL,
                            NULL);
}

static ringmoe_generate_settings settings_of(int64_t max_new_tokens)
{
    ringmoe_generate_settings settings;
    ringmoe_generate_settings_default(&settings);
    settings.max_new_tokens = max_new_tokens;
    settings.seed = 3;
    return settings;
}

static void check_same(const struct text *text, const struct text *expected)
{
    CHECK(text->n == N_NEW);
    CHECK(memcmp(text->tokens, expected->tokens, sizeof expected->tokens) == 0);
}

/* The model gives the same text, whatever number of tokens it takes at a time. */
static void check_layout(ringmoe_mesh_dims dims, const struct text *expected)
{
    static const int64_t batches[] = {64, 7, 1};
    for (int i = 0; i < 3; i++) {
        struct world world;
        struct text text = {.n = 0};
        ringmoe_generate_settings settings = settings_of(N_NEW);
        world_open(&world, MPI_COMM_WORLD, dims, batches[i]);
        CHECK_STATUS(generate(world.model, N_PROMPT, &settings, &text), RINGMOE_OK,
                     ringmoe_context_error(world.context));
        check_same(&text, expected);
        world_close(&world);
    }
}

static void test_layouts(const struct text *expected)
{
    for (int pipeline = 1; pipeline <= 3; pipeline++)
        for (int tensor = 1; tensor <= 2; tensor++)
            for (int expert = 1; expert <= 4; expert *= 2)
                if (size % (pipeline * tensor * expert) == 0)
                    check_layout((ringmoe_mesh_dims){pipeline,
                                                     size / (pipeline * tensor * expert),
                                                     expert, tensor},
                                 expected);
}

static void refused(struct world *world, int64_t n_prompt, ringmoe_generate_settings settings,
                    const char *message)
{
    struct text text = {.n = 0};
    CHECK(generate(world->model, n_prompt, &settings, &text) == RINGMOE_ERROR_ARGUMENT);
    CHECK(text.n == 0);
    const char *error = ringmoe_context_error(world->context);
    if (!strstr(error, message)) check_report(message, __FILE__, __LINE__, error);
}

/* Several prompts of different lengths, more than there are places, with seeds of their own. */
enum { N_TEXTS = 5 };
static const int64_t text_lengths[N_TEXTS] = {N_PROMPT, 3, 11, 1, 7};

static ringmoe_prompt nth_prompt(int i)
{
    return (ringmoe_prompt){.tokens = prompt, .n_tokens = text_lengths[i], .seed = i};
}

/* Each prompt alone, by the model of one rank. */
static void make_alone(struct world *alone, struct text expected[N_TEXTS])
{
    ringmoe_generate_settings settings = settings_of(N_NEW);
    for (int i = 0; i < N_TEXTS; i++) {
        ringmoe_prompt one = nth_prompt(i);
        expected[i] = (struct text){.n = 0};
        CHECK(ringmoe_generate(alone->model, &one, 1, &settings, keep_token, &expected[i], NULL,
                               NULL) == RINGMOE_OK);
    }
}

/* The same texts together, `places` of them at a time. */
static void check_together(struct world *world, const struct text expected[N_TEXTS])
{
    struct text texts[N_TEXTS] = {{.n = 0}};
    ringmoe_prompt prompts[N_TEXTS];
    ringmoe_text_result results[N_TEXTS];
    ringmoe_generate_figures figures;
    ringmoe_generate_settings settings = settings_of(N_NEW);
    for (int i = 0; i < N_TEXTS; i++) prompts[i] = nth_prompt(i);
    CHECK_STATUS(ringmoe_generate(world->model, prompts, N_TEXTS, &settings, keep_token, texts,
                                  results, &figures),
                 RINGMOE_OK, ringmoe_context_error(world->context));
    for (int i = 0; i < N_TEXTS; i++) {
        check_same(&texts[i], &expected[i]);
        CHECK(results[i].n_new == N_NEW && results[i].end == RINGMOE_END_LENGTH);
    }
    CHECK(figures.prompt_tokens == N_PROMPT + 3 + 11 + 1 + 7);
    CHECK(figures.new_tokens == (int64_t)N_TEXTS * (N_NEW - 1));
}

static void test_together(struct world *alone)
{
    static const int64_t max_tokens[] = {64, 2, 3};
    struct text expected[N_TEXTS];
    make_alone(alone, expected);
    check_together(alone, expected);
    for (int i = 0; i < 3; i++) {
        struct world world;
        int expert = size % 2 == 0 ? 2 : 1;
        world_open(&world, MPI_COMM_WORLD,
                   (ringmoe_mesh_dims){.data = size / expert, .expert = expert}, max_tokens[i]);
        check_together(&world, expected);
        world_close(&world);
    }
}

/* A text that ends gives its place to the next prompt; stop tokens are no part of a text. */
static void test_ends(struct world *world, const struct text *expected)
{
    struct text texts[N_TEXTS] = {{.n = 0}};
    ringmoe_prompt prompts[N_TEXTS];
    ringmoe_text_result results[N_TEXTS];
    ringmoe_generate_settings settings = settings_of(N_NEW);
    int32_t stop = expected->tokens[9];
    int first = 0;
    while (expected->tokens[first] != stop) first++;
    for (int i = 0; i < N_TEXTS; i++) prompts[i] = nth_prompt(0);
    settings.stop_tokens = &stop;
    settings.n_stop_tokens = 1;
    CHECK(ringmoe_generate(world->model, prompts, N_TEXTS, &settings, keep_token, texts,
                           results, NULL) == RINGMOE_OK);
    for (int i = 0; i < N_TEXTS; i++) {
        CHECK(texts[i].n == first && results[i].n_new == first);
        CHECK(results[i].end == RINGMOE_END_STOP_TOKEN);
        CHECK(memcmp(texts[i].tokens, expected->tokens, (size_t)first * sizeof(int32_t)) == 0);
    }
    stop = 256;
    refused(world, N_PROMPT, settings, "token 0 of stop_tokens is 256");
}

/* A caller may end one text; the others go on. */
static int end_second(void *user, int which, int32_t token)
{
    struct text *text = (struct text *)user + which;
    text->tokens[text->n++] = token;
    return which == 1 && text->n == 4 ? RINGMOE_TEXT_ENDS : RINGMOE_TEXT_GOES_ON;
}

static void test_caller_ends(struct world *world)
{
    struct text texts[2] = {{.n = 0}};
    ringmoe_prompt prompts[2] = {nth_prompt(0), nth_prompt(1)};
    ringmoe_text_result results[2];
    ringmoe_generate_settings settings = settings_of(N_NEW);
    CHECK(ringmoe_generate(world->model, prompts, 2, &settings, end_second, texts, results,
                           NULL) == RINGMOE_OK);
    CHECK(results[0].n_new == N_NEW && results[0].end == RINGMOE_END_LENGTH);
    CHECK(results[1].n_new == 4 && results[1].end == RINGMOE_END_CALLER);
}

/* What has been written, given as the prompt, is continued in the same words. */
static void test_continuation(struct world *world, const struct text *expected)
{
    memcpy(prompt + N_PROMPT, expected->tokens, sizeof expected->tokens);
    for (int done = 1; done < N_NEW; done += 5) {
        struct text text = {.n = 0};
        ringmoe_generate_settings settings = settings_of(N_NEW - done);
        CHECK(generate(world->model, N_PROMPT + done, &settings, &text) == RINGMOE_OK);
        CHECK(text.n == N_NEW - done);
        CHECK(memcmp(text.tokens, expected->tokens + done,
                     (size_t)text.n * sizeof *text.tokens) == 0);
    }
}

static void test_refusals(struct world *world)
{
    ringmoe_generate_settings settings = settings_of(4);
    refused(world, 0, settings, "prompt 0 is empty");
    refused(world, 61 - N_PROMPT, settings_of(23 + N_PROMPT), "max_position_embeddings");
    refused(world, N_PROMPT, settings_of(INT64_MAX), "max_position_embeddings");
    refused(world, N_PROMPT, settings_of(-1), "max_new_tokens is -1");
    settings.temperature = -0.5;
    refused(world, N_PROMPT, settings, "temperature is -0.5");
    prompt[5] = 256;
    refused(world, N_PROMPT, settings_of(4), "token 5 of prompt 0 is 256; it must be 0..255");
    prompt[5] = ' ';

    struct text text = {.n = 0};
    settings = settings_of(0);
    CHECK(generate(world->model, N_PROMPT, &settings, &text) == RINGMOE_OK);
    CHECK(text.n == 0);
}

/* One rank that stops, or gives something else, concerns all. */
static void test_disagreement(void)
{
    struct world world;
    struct text text = {.stop_at = rank == size - 1 ? 3 : 0};
    ringmoe_generate_settings settings = settings_of(N_NEW);
    world_open(&world, MPI_COMM_WORLD, (ringmoe_mesh_dims){.data = size}, 64);
    CHECK(generate(world.model, N_PROMPT, &settings, &text) == RINGMOE_ERROR_INTERRUPTED);
    CHECK(text.n == 3);
    CHECK_TEXT(ringmoe_context_error(world.context), "after 3 new tokens");

    settings.seed = rank;
    CHECK(generate(world.model, N_PROMPT, &settings, NULL) ==
          (size > 1 ? RINGMOE_ERROR_MISMATCH : RINGMOE_OK));
    settings = settings_of(2);
    if (rank == size - 1) settings.top_p = 2;
    CHECK(generate(world.model, N_PROMPT, &settings, NULL) == RINGMOE_ERROR_ARGUMENT);
    CHECK_TEXT(ringmoe_context_error(world.context), "top_p is 2");
    world_close(&world);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int i = 0; i < N_PROMPT; i++) prompt[i] = "to be or not to be?"[i];

    struct world alone;
    struct text expected = {.n = 0};
    ringmoe_generate_settings settings = settings_of(N_NEW);
    world_open(&alone, MPI_COMM_SELF, (ringmoe_mesh_dims){.data = 1}, 64);
    CHECK(generate(alone.model, N_PROMPT, &settings, &expected) == RINGMOE_OK);
    CHECK(expected.n == N_NEW);
    test_continuation(&alone, &expected);
    test_together(&alone);
    test_ends(&alone, &expected);
    test_caller_ends(&alone);
    test_refusals(&alone);
    world_close(&alone);

    test_layouts(&expected);
    test_disagreement();
    return check_finish("generate");
}
