/* SPDX-License-Identifier: MIT
 *
 * Converting: a model of each family comes out of every chain of formats with the very numbers
 * it went in with; GGUF files and blocks are those of the gguf package (tests/golden);
 * upcycling copies; and what cannot be converted, or lies in files wrongly, is refused by name.
 *
 *   test_convert FOLDER    tests/golden/data
 */
#include "convert_fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

#include "format/dtype.h"
#include "format/gguf_file.h"
#include "format/quants.h"

/* --- every chain --- */

static void check_folders(const char *from)
{
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_FOLDER, 0);
    const char *fused = fresh(""), *split = fresh(""), *back = fresh("");
    settings.fused = 1;
    convert(from, fused, &settings);
    check_same(from, fused);
    settings.file_bytes = 9000;
    convert(fused, split, &settings);
    check_same(from, split);
    settings.fused = 0;
    convert(split, back, &settings);
    check_same(from, back);
    assert_int_equal(access(scratch_path(strrchr(split, '/') + 1), F_OK), 0);
}

static void check_gguf(const char *from)
{
    ringmoe_convert_settings to_gguf = settings_of(RINGMOE_MODEL_GGUF, 0);
    ringmoe_convert_settings to_folder = settings_of(RINGMOE_MODEL_FOLDER, 0);
    const char *file = fresh(".gguf"), *again = fresh(".gguf"), *back = fresh("");
    convert(from, file, &to_gguf);
    check_same(from, file);
    convert(file, again, &to_gguf);
    check_same(from, again);
    convert(again, back, &to_folder);
    check_same(from, back);
}

static void keeps_numbers_in_folders(void **state)
{
    static const char *const cases[] = {"untied",    "tied",  "olmoe", "qwen2_moe",
                                        "qwen3_moe", "llama", "qwen3", "llama3"};
    for (int i = 0; i < 8; i++) check_folders(case_path(cases[i]));
}

static void keeps_numbers_in_gguf(void **state)
{
    for (int family = 0; rm_family_of(family); family++) {
        ringmoe_model_config config = plain_config(family);
        const char *folder = fresh("");
        write_model(folder, &config, NULL);
        check_gguf(folder);
    }
}

/* --- the gguf package's files --- */

static void reads_files_of_the_package(void **state)
{
    static const char *const cases[] = {"llama", "qwen3", "tied"};
    for (int i = 0; i < 3; i++) {
        char file[64];
        char *folder = strdup(case_path(cases[i]));
        snprintf(file, sizeof file, "gguf/%s.gguf", cases[i]);
        check_same(folder, case_path(file));
        free(folder);
    }
}

static const rm_tensor *find_tensor(const rm_gguf *file, const char *name)
{
    for (int i = 0; i < rm_gguf_count(file); i++)
        if (!strcmp(rm_gguf_tensor(file, i)->name, name)) return rm_gguf_tensor(file, i);
    fail_msg("no tensor %s", name);
    return NULL;
}

/* Numbers read out of blocks, also from the middle of one. */
static void check_reading(const rm_gguf *file, const char *name)
{
    char values_name[32];
    snprintf(values_name, sizeof values_name, "%s_values", name);
    const rm_tensor *blocks = find_tensor(file, name);
    const rm_tensor *expected = find_tensor(file, values_name);
    const rm_kernels *kernels = rm_kernels_best();
    int64_t n = blocks->n_elements, most = 600;
    rm_real *numbers = calloc((size_t)n, sizeof *numbers);
    rm_real *read = calloc((size_t)most, sizeof *read);
    assert_string_equal(rm_dtype_name(expected->dtype), "F32");
    assert_int_equal(expected->n_elements, n);
    rm_tensor_read(kernels, expected, 0, n, numbers);
    for (int64_t first = 0; first < n; first += 13) {
        int64_t count = n - first < most ? n - first : most;
        rm_tensor_read(kernels, blocks, first, count, read);
        for (int64_t i = 0; i < count; i++)
            if (read[i] != numbers[first + i])
                fail_msg("%s, number %lld: %.9g, not %.9g", name, (long long)(first + i),
                         (double)read[i], (double)numbers[first + i]);
    }
    free(numbers);
    free(read);
}

/* Blocks made of x. */
static void check_blocks(const rm_gguf *file, const rm_tensor *x, const char *name,
                         void (*quantise)(int64_t n, const rm_real *x, void *blocks))
{
    const rm_tensor *blocks = find_tensor(file, name);
    int64_t n = x->n_elements, size = rm_dtype_size(blocks->dtype, n);
    rm_real *numbers = calloc((size_t)n, sizeof *numbers);
    unsigned char *made = calloc((size_t)size, 1);
    rm_tensor_read(rm_kernels_best(), x, 0, n, numbers);
    quantise(n, numbers, made);
    for (int64_t i = 0; i < size; i++)
        if (made[i] != blocks->data[i])
            fail_msg("%s: byte %lld is %d, not %d", name, (long long)i, made[i],
                     blocks->data[i]);
    free(numbers);
    free(made);
    check_reading(file, name);
}

static void makes_blocks_of_the_package(void **state)
{
    rm_error error = {""};
    rm_gguf *file;
    assert_int_equal(rm_gguf_open(case_path("gguf/quants.gguf"), &file, &error), RINGMOE_OK);
    const rm_tensor *x = find_tensor(file, "x");
    check_blocks(file, x, "q8", rm_kernels_best()->quantise_q8);
    check_blocks(file, x, "q4", rm_kernels_best()->quantise_q4);
    rm_gguf_close(&file);
}

static void reads_blocks_of_all_types(void **state)
{
    static const char *const types[] = {"Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "Q2_K",
                                        "Q3_K", "Q4_K", "Q5_K", "Q6_K",   "IQ4_XS"};
    rm_error error = {""};
    rm_gguf *file;
    if (rm_gguf_open(case_path("gguf/blocks.gguf"), &file, &error) != RINGMOE_OK)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) check_reading(file, types[i]);
    rm_gguf_close(&file);
}

/* --- types --- */

static void check_type(ringmoe_weights type, rm_dtype expected, double tolerance)
{
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_MIXTRAL);
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_GGUF, type);
    const char *folder = fresh(""), *path = fresh(".gguf");
    write_model(folder, &config, NULL);
    convert(folder, path, &settings);
    opened_model from = open_path(folder), to = open_path(path);
    for (int i = 0; i < from.table.n_parameters; i++) {
        const rm_parameter *p = &from.table.parameters[i];
        bool is_small = p->n_dims == 1 || p->role == RM_ROLE_ROUTER;
        assert_int_equal(to.places[i].tensor->dtype, is_small ? RM_DTYPE_F32 : expected);
        rm_real *a = read_values(&from, i), *b = read_values(&to, i);
        for (int64_t e = 0; e < p->n_elements; e++)
            if (!(fabs((double)(a[e] - b[e])) <= (is_small ? 0 : tolerance)))
                fail_msg("%s: %g became %g", p->name, (double)a[e], (double)b[e]);
        free(a);
        free(b);
    }
    close_model(&from);
    close_model(&to);
}

/* The largest numbers are about 4: half a step of bf16 there, and of blocks of such. */
static void rounds_to_types(void **state)
{
    check_type(RINGMOE_WEIGHTS_FP32, RM_DTYPE_F32, 0);
    check_type(RINGMOE_WEIGHTS_BF16, RM_DTYPE_BF16, 0.016);
    check_type(RINGMOE_WEIGHTS_Q8_0, RM_DTYPE_Q8_0, 0.021);
    check_type(RINGMOE_WEIGHTS_Q4_0, RM_DTYPE_Q4_0, 0.65);
}

static void keeps_types_of_the_source(void **state)
{
    static const ringmoe_weights types[] = {RINGMOE_WEIGHTS_BF16, RINGMOE_WEIGHTS_Q8_0,
                                            RINGMOE_WEIGHTS_Q4_0};
    static const rm_dtype dtypes[] = {RM_DTYPE_BF16, RM_DTYPE_Q8_0, RM_DTYPE_Q4_0};
    for (int i = 0; i < 3; i++) {
        ringmoe_model_config config = plain_config(RINGMOE_FAMILY_QWEN3);
        ringmoe_convert_settings first = settings_of(RINGMOE_MODEL_GGUF, types[i]);
        ringmoe_convert_settings second = settings_of(RINGMOE_MODEL_GGUF, 0);
        const char *folder = fresh(""), *once = fresh(".gguf"), *twice = fresh(".gguf");
        write_model(folder, &config, NULL);
        convert(folder, once, &first);
        convert(once, twice, &second);
        check_same(once, twice);
        opened_model model = open_path(twice);
        assert_int_equal(model.places[0].tensor->dtype, dtypes[i]);
        close_model(&model);
        second.format = RINGMOE_MODEL_FOLDER;
        const char *back = fresh("");
        convert(twice, back, &second);
        check_same(once, back);
    }
}

/* --- upcycling --- */

static void check_upcycled(int family, int sparse)
{
    ringmoe_model_config config = plain_config(family);
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_FOLDER, 0);
    const char *folder = fresh(""), *made = fresh("");
    settings.upcycle_experts = 3;
    settings.fused = 1;
    write_model(folder, &config, NULL);
    convert(folder, made, &settings);
    opened_model from = open_path(folder), to = open_path(made);
    assert_int_equal(to.config.family, sparse);
    assert_int_equal(to.config.num_local_experts, 3);
    assert_int_equal(to.config.num_experts_per_tok, 2);
    for (int i = 0; i < to.table.n_parameters; i++) {
        const rm_parameter *p = &to.table.parameters[i];
        rm_role role = p->expert < 0 ? p->role : RM_ROLE_GATE + (p->role - RM_ROLE_EXPERT_GATE);
        rm_real *values = read_values(&to, i), *origin;
        int at = 0, n_zero = 0;
        for (int64_t e = 0; e < p->n_elements; e++) n_zero += values[e] == 0;
        assert_int_equal(n_zero, 0);
        while (at < from.table.n_parameters && (from.table.parameters[at].role != role ||
                                                from.table.parameters[at].layer != p->layer))
            at++;
        assert_int_equal(at == from.table.n_parameters, p->role == RM_ROLE_ROUTER);
        origin = p->role == RM_ROLE_ROUTER ? NULL : read_values(&from, at);
        if (origin) assert_memory_equal(values, origin, (size_t)p->n_elements * sizeof *values);
        free(values);
        free(origin);
    }
    close_model(&from);
    close_model(&to);
}

static void upcycles(void **state)
{
    check_upcycled(RINGMOE_FAMILY_LLAMA, RINGMOE_FAMILY_MIXTRAL);
    check_upcycled(RINGMOE_FAMILY_QWEN3, RINGMOE_FAMILY_QWEN3_MOE);
}

/* --- what is refused --- */

static void check_refused(const char *from, const char *to,
                          const ringmoe_convert_settings *settings, ringmoe_status expected,
                          const char *words)
{
    char temporary[600];
    assert_int_equal(ringmoe_convert(context, from, to, settings), expected);
    if (!strstr(ringmoe_context_error(context), words))
        fail_msg("\"%s\" does not say \"%s\"", ringmoe_context_error(context), words);
    snprintf(temporary, sizeof temporary, "%s.tmp", to);
    assert_int_not_equal(access(temporary, F_OK), 0);
}

static void refuses_settings(void **state)
{
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_FOLDER, RINGMOE_WEIGHTS_Q8_0);
    const char *from = case_path("olmoe"), *to = fresh("");
    check_refused(from, to, &settings, RINGMOE_ERROR_ARGUMENT,
                  "q8_0 and q4_0 are GGUF's alone");
    settings = settings_of(RINGMOE_MODEL_GGUF, 0);
    settings.fused = 1;
    check_refused(from, to, &settings, RINGMOE_ERROR_ARGUMENT, "fused is a layout of folders");
    settings = settings_of(RINGMOE_MODEL_FOLDER, 0);
    check_refused(from, scratch_folder, &settings, RINGMOE_ERROR_ARGUMENT, "is there already");
    settings.upcycle_experts = 4;
    check_refused(from, to, &settings, RINGMOE_ERROR_ARGUMENT, "is of the family olmoe");
    settings.upcycle_experts_per_token = 5;
    check_refused(from, to, &settings, RINGMOE_ERROR_ARGUMENT,
                  "upcycle_experts_per_token is 5; it must be 1..4");
    assert_int_not_equal(access(to, F_OK), 0);
}

static int stop_at_half(void *user, int64_t done, int64_t total)
{
    int *calls = user;
    assert_true(done <= total);
    ++*calls;
    return done > total / 2;
}

/* Neither under its name nor under another one that it had meanwhile. */
static void check_nothing_left(const char *to)
{
    char folder[600];
    const char *name = strrchr(to, '/') + 1;
    snprintf(folder, sizeof folder, "%.*s", (int)(name - to), to);
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));)
        if (strstr(entry->d_name, name)) fail_msg("%s is left", entry->d_name);
    closedir(listing);
}

static void stops_when_told(void **state)
{
    static const ringmoe_model_format formats[] = {RINGMOE_MODEL_FOLDER, RINGMOE_MODEL_GGUF};
    for (int i = 0; i < 2; i++) {
        ringmoe_convert_settings settings = settings_of(formats[i], 0);
        const char *to = fresh(i == 0 ? "" : ".gguf");
        int calls = 0;
        settings.progress = stop_at_half;
        settings.progress_user = &calls;
        check_refused(case_path("llama"), to, &settings, RINGMOE_ERROR_INTERRUPTED,
                      "converting was stopped");
        assert_true(calls > 1);
        check_nothing_left(to);
    }
}

/* A limit on files shows as a full disk would. */
static void leaves_nothing_without_room(void **state)
{
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (int i = 0; i < 2; i++) {
        ringmoe_convert_settings settings =
            settings_of(i == 0 ? RINGMOE_MODEL_FOLDER : RINGMOE_MODEL_GGUF, 0);
        const char *to = fresh(i == 0 ? "" : ".gguf");
        limit = (struct rlimit){8192, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        check_refused(case_path("llama"), to, &settings, RINGMOE_ERROR_FILE, to);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        check_nothing_left(to);
    }
}

/* A folder of that name is the user's, whatever is in it. */
static void keeps_what_is_there(void **state)
{
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_FOLDER, 0);
    char temporary[600], file[620], slashes[600];
    const char *to = fresh("");
    snprintf(temporary, sizeof temporary, "%s.tmp", to);
    snprintf(file, sizeof file, "%s/kept", temporary);
    snprintf(slashes, sizeof slashes, "%s//", to);
    mkdir(temporary, 0777);
    fclose(fopen(file, "w"));
    assert_int_equal(ringmoe_convert(context, case_path("olmoe"), to, &settings),
                     RINGMOE_ERROR_FILE);
    assert_non_null(strstr(ringmoe_context_error(context), ".tmp is there"));
    assert_int_equal(access(file, F_OK), 0);
    remove(file);
    remove(temporary);
    convert(case_path("olmoe"), slashes, &settings);
    check_same(case_path("olmoe"), to);
}

/* What llama.cpp would compute otherwise. */
static void refuses_what_gguf_lacks(void **state)
{
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_GGUF, 0);
    const char *to = fresh(".gguf");
    check_refused(case_path("olmoe"), to, &settings, RINGMOE_ERROR_ARGUMENT, "clip_qkv");
    check_refused(case_path("qwen3_moe"), to, &settings, RINGMOE_ERROR_ARGUMENT,
                  "mlp_only_layers");
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_QWEN3_MOE);
    config.router_unnormalized = 1;
    const char *folder = fresh("");
    write_model(folder, &config, NULL);
    check_refused(folder, to, &settings, RINGMOE_ERROR_ARGUMENT, "norm_topk_prob");
    assert_int_not_equal(access(to, F_OK), 0);
}

/* Whether the numbers are copied, widened, rounded or put into blocks. */
static void refuses_numbers_without_end(void **state)
{
    static const struct {
        int format;
        ringmoe_weights type;
        const char *words;
    } cases[] = {
        {RINGMOE_MODEL_GGUF, RINGMOE_WEIGHTS_Q8_0, "blk.1.attn_k.weight: has a number that is"},
        {RINGMOE_MODEL_GGUF, RINGMOE_WEIGHTS_Q4_0, "blk.1.attn_k.weight: has a number that is"},
        {RINGMOE_MODEL_GGUF, RINGMOE_WEIGHTS_AUTO, "not finite or too large for F32"},
        {RINGMOE_MODEL_FOLDER, RINGMOE_WEIGHTS_FP32, "not finite or too large for F32"},
        {RINGMOE_MODEL_FOLDER, RINGMOE_WEIGHTS_BF16, "not finite or too large for BF16"},
    };
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_LLAMA);
    const char *folder = fresh("");
    write_model(folder, &config, "model.layers.1.self_attn.k_proj.weight");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ringmoe_convert_settings settings = settings_of(cases[i].format, cases[i].type);
        const char *to = fresh(cases[i].format == RINGMOE_MODEL_GGUF ? ".gguf" : "");
        check_refused(folder, to, &settings, RINGMOE_ERROR_NUMERIC, cases[i].words);
        assert_int_not_equal(access(to, F_OK), 0);
    }
}

/* As a K-quant's or another block's broken scale, which is widened on the way. */
static void refuses_scales_without_end(void **state)
{
    static const ringmoe_weights types[] = {RINGMOE_WEIGHTS_FP32, RINGMOE_WEIGHTS_Q8_0};
    static const unsigned char nan_scale[] = {0x00, 0x7e};
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_LLAMA);
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_GGUF, RINGMOE_WEIGHTS_Q8_0);
    const char *folder = fresh(""), *path = fresh(".gguf");
    rm_error error = {""};
    rm_gguf *file;
    write_model(folder, &config, NULL);
    convert(folder, path, &settings);
    assert_int_equal(rm_gguf_open(path, &file, &error), RINGMOE_OK);
    const rm_tensor *tensor = find_tensor(file, "blk.0.ffn_up.weight");
    FILE *stream = fopen(path, "r+b");
    fseek(stream, (long)(tensor->data - file->source.map.data), SEEK_SET);
    assert_int_equal(fwrite(nan_scale, 1, 2, stream), 2);
    fclose(stream);
    rm_gguf_close(&file);
    for (int i = 0; i < 2; i++) {
        settings.type = types[i];
        check_refused(path, fresh(".gguf"), &settings, RINGMOE_ERROR_NUMERIC,
                      "tensor blk.0.ffn_up.weight: has a number that is not finite");
    }
}

/* A folder with the config of `from` and these tensors of one number each. */
static void check_folder_refused(const char *from, const rm_tensor_entry *entries, int n,
                                 const char *words)
{
    char path[600];
    opened_model model = open_path(from), bad;
    rm_error error = {""};
    rm_safetensors_writer *writer;
    const char *folder = fresh("");
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/config.json", folder);
    assert_int_equal(rm_config_write(&model.config, path, &error), RINGMOE_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(rm_safetensors_create(path, entries, n, &writer, &error), RINGMOE_OK);
    for (int i = 0; i < n; i++)
        for (int64_t e = 0; e < (entries[i].n_dims > 0 ? entries[i].shape[0] : 1) *
                                    (entries[i].n_dims > 1 ? entries[i].shape[1] : 1) *
                                    (entries[i].n_dims > 2 ? entries[i].shape[2] : 1);
             e++)
            assert_int_equal(rm_safetensors_append(writer, &(float){1}, 4, &error), RINGMOE_OK);
    assert_int_equal(rm_safetensors_commit(&writer, &error), RINGMOE_OK);
    assert_int_equal(try_open(folder, &bad, &error), RINGMOE_ERROR_FORMAT);
    if (!strstr(error.text, words)) fail_msg("\"%s\" does not say \"%s\"", error.text, words);
    close_model(&bad);
    close_model(&model);
}

static int list_fused(const rm_weight_source *source, const opened_model *model,
                      rm_tensor_entry entries[64])
{
    int n = 0;
    for (int i = 0; i < model->table.n_parameters; i++) {
        const rm_tensor *tensor = model->places[i].tensor;
        bool is_new = tensor != NULL;
        for (int j = 0; is_new && j < n; j++)
            is_new = strcmp(entries[j].name, tensor->name) != 0;
        if (!is_new) continue;
        snprintf(entries[n].name, sizeof entries[n].name, "%s", tensor->name);
        entries[n].n_dims = tensor->n_dims;
        memcpy(entries[n++].shape, tensor->shape, sizeof tensor->shape);
    }
    return n;
}

static int find_entry(const rm_tensor_entry *entries, int n, const char *name)
{
    int i = 0;
    while (i < n && strcmp(entries[i].name, name) != 0) i++;
    assert_true(i < n);
    return i;
}

/* Files of fused experts in which something is wrong. */
static void refuses_fused_tensors(void **state)
{
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_MIXTRAL);
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_FOLDER, 0);
    const char *plain = fresh(""), *fused = fresh("");
    rm_tensor_entry entries[64] = {{.dtype = RM_DTYPE_F32}}, saved;
    settings.fused = 1;
    write_model(plain, &config, NULL);
    convert(plain, fused, &settings);
    opened_model model = open_path(fused);
    int n = list_fused(model.source, &model, entries);
    int down = find_entry(entries, n, "model.layers.1.mlp.experts.down_proj");
    saved = entries[down];
    entries[down].shape[0] = 2;
    check_folder_refused(
        fused, entries, n,
        "down_proj has the shape [2, 32, 32]; config.json asks for [3, 32, 32]");
    entries[down] = entries[n - 1];
    check_folder_refused(
        fused, entries, n - 1,
        "tensor model.layers.1.block_sparse_moe.experts.0.w2.weight is missing");
    entries[down] = saved;
    entries[n] =
        (rm_tensor_entry){.name = "model.layers.1.block_sparse_moe.experts.2.w2.weight",
                          .n_dims = 2,
                          .shape = {32, 32}};
    check_folder_refused(fused, entries, n + 1, "experts.2.w2.weight is there twice");
    snprintf(entries[n].name, sizeof entries[n].name, "model.layers.2.mlp.gate.weight");
    check_folder_refused(fused, entries, n + 1, "model.layers.2.mlp.gate.weight");
    close_model(&model);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_numbers_in_folders),
        cmocka_unit_test(keeps_numbers_in_gguf),
        cmocka_unit_test(reads_files_of_the_package),
        cmocka_unit_test(makes_blocks_of_the_package),
        cmocka_unit_test(reads_blocks_of_all_types),
        cmocka_unit_test(rounds_to_types),
        cmocka_unit_test(keeps_types_of_the_source),
        cmocka_unit_test(upcycles),
        cmocka_unit_test(refuses_settings),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(leaves_nothing_without_room),
        cmocka_unit_test(keeps_what_is_there),
        cmocka_unit_test(refuses_what_gguf_lacks),
        cmocka_unit_test(refuses_numbers_without_end),
        cmocka_unit_test(refuses_scales_without_end),
        cmocka_unit_test(refuses_fused_tensors),
    };
    if (argc != 2) return 2;
    golden = argv[1];
    MPI_Init(&argc, &argv);
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    MPI_Finalize();
    return failed;
}
