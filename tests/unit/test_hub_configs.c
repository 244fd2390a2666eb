/* SPDX-License-Identifier: MIT
 *
 * config.json as it lies beside published models, and as transformers 5 writes it for each
 * family: read without a change, with as many parameters as transformers makes of it, and
 * written so that it reads back the same.
 *
 * usage: test_hub_configs FOLDER   with the files
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>

#include "format/config.h"
#include "scratch.h"

static const struct {
    const char *name;
    int64_t parameters; /* by transformers 5.23 */
} models[] = {
    {"Llama-2-7b-hf", 6738415616},
    {"Llama-3.1-8B-Instruct", 8030261248},
    {"Llama-3.2-1B", 1235814400},
    {"Mixtral-8x22B-v0.1", 140620634112},
    {"Mixtral-8x7B-Instruct-v0.1", 46702792704},
    {"OLMoE-1B-7B-0924", 6919161856},
    {"Qwen1.5-MoE-A2.7B", 14315784192},
    {"Qwen2-57B-A14B-Instruct", 57408658944},
    {"Qwen3-0.6B", 596049920},
    {"Qwen3-235B-A22B", 235093634560},
    {"Qwen3-30B-A3B", 30532122624},
    {"Qwen3-8B", 8190735360},
    {"Qwen3-Coder-30B-A3B-Instruct", 30532122624},
    {"SmolLM2-135M", 134515008},
    {"TinyLlama-1.1B-Chat-v1.0", 1100048384},
    {"transformers-5-llama", 6738415616},
    {"transformers-5-mixtral", 46702792704},
    {"transformers-5-olmoe", 13361612800},
    {"transformers-5-qwen2_moe", 14315784192},
    {"transformers-5-qwen3", 12049461248},
    {"transformers-5-qwen3_moe", 15350731776},
};
enum { N_MODELS = sizeof models / sizeof *models };

static const char *folder;

static ringmoe_model_config read_well(const char *path)
{
    ringmoe_model_config config;
    rm_error error = {""};
    if (rm_config_read(path, &config, &error) != RINGMOE_OK) fail_msg("%s", error.text);
    return config;
}

static void reads_as_published(void **state)
{
    for (int i = 0; i < N_MODELS; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/%s.json", folder, models[i].name);
        ringmoe_model_config config = read_well(path);
        if (ringmoe_model_config_parameters(&config) != models[i].parameters)
            fail_msg("%s has %lld parameters, not %lld", path,
                     (long long)ringmoe_model_config_parameters(&config),
                     (long long)models[i].parameters);
        rm_error error = {""};
        const char *written = scratch_path("config.json");
        assert_int_equal(rm_config_write(&config, written, &error), RINGMOE_OK);
        ringmoe_model_config again = read_well(written);
        assert_memory_equal(&config, &again, sizeof config);
    }
}

static void knows_each_file(void **state)
{
    int n = 0;
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));) n += entry->d_name[0] != '.';
    closedir(listing);
    assert_int_equal(n, N_MODELS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_as_published),
        cmocka_unit_test(knows_each_file),
    };
    if (argc != 2) return 2;
    folder = argv[1];
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
