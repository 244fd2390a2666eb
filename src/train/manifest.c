/* SPDX-License-Identifier: MIT */
#include "train/manifest.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"

/* Beside the counts, each of which has at most COUNT_BYTES with its comma. */
enum { FORMAT_VERSION = 2, MAX_STATE_BYTES = 1 << 20, COUNT_BYTES = 24 };

/* --- writing -------------------------------------------------------------------------------
 */

static void print_recipe(FILE *out, const rm_recipe *recipe)
{
    for (int i = 0; i < recipe->n_items; i++) {
        const rm_recipe_item *item = &recipe->items[i];
        const char *quote = item->is_word ? "\"" : "";
        fprintf(out, "%s    \"%s\": %s%s%s", i ? ",\n" : "", item->name, quote, item->value,
                quote);
    }
}

static void print_counts(FILE *out, const rm_manifest *manifest)
{
    if (!manifest->balance_counts) return;
    fprintf(out, "  \"balance_counts\": [");
    for (int64_t i = 0; i < manifest->n_balance_counts; i++)
        fprintf(out, "%s%lld", i ? "," : "", (long long)manifest->balance_counts[i]);
    fprintf(out, "],\n");
}

static void print_manifest(FILE *out, const rm_manifest *manifest)
{
    fprintf(out, "{\n  \"format_version\": %d,\n  \"step\": %lld,\n", FORMAT_VERSION,
            (long long)manifest->step);
    fprintf(out,
            "  \"layout\": {\"pipeline\": %d, \"data\": %d, \"expert\": %d, \"tensor\": %d},\n"
            "  \"kernel_level\": \"%s\",\n",
            manifest->layout.pipeline, manifest->layout.data, manifest->layout.expert,
            manifest->layout.tensor, manifest->kernel_level);
    fprintf(out, "  \"weights_hash\": \"%s\",\n  \"exp_avg_hash\": \"%s\",\n",
            manifest->weights_hash, manifest->moment1_hash);
    fprintf(out, "  \"exp_avg_sq_hash\": \"%s\",\n", manifest->moment2_hash);
    print_counts(out, manifest);
    fprintf(out, "  \"recipe\": {\n");
    print_recipe(out, &manifest->recipe);
    fprintf(out, "\n  }\n}\n");
}

ringmoe_status rm_manifest_write(const rm_manifest *manifest, const char *folder,
                                 rm_error *error)
{
    char *text = NULL, *path = rm_path_join(folder, RM_STATE_FILE);
    size_t size = 0;
    FILE *out = path ? open_memstream(&text, &size) : NULL;
    if (out) print_manifest(out, manifest);
    ringmoe_status status;
    if (out && fclose(out) == 0)
        status = rm_file_write_whole(path, text, (int64_t)size, error);
    else
        status =
            rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for " RM_STATE_FILE, folder);
    free(text);
    free(path);
    return status;
}

/* --- reading -------------------------------------------------------------------------------
 */

static ringmoe_status fail_key(const char *path, const char *key, const char *wanted,
                               rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: key %s is missing or not %s", path, key,
                   wanted);
}

/* From 0 to the longest run's number of steps. */
static ringmoe_status read_integer(const json_t *root, const char *path, const char *key,
                                   int64_t *value, rm_error *error)
{
    const json_t *found = json_object_get(root, key);
    *value = json_integer_value(found);
    if (!json_is_integer(found) || *value < 0 || *value > RM_STEPS_MOST)
        return fail_key(path, key, "a whole number from 0 to 10^9", error);
    return RINGMOE_OK;
}

static ringmoe_status read_hash(const json_t *root, const char *path, const char *key,
                                char hex[17], rm_error *error)
{
    const char *text = json_string_value(json_object_get(root, key));
    if (!text || strlen(text) != 16) return fail_key(path, key, "16 hex digits", error);
    memcpy(hex, text, 17);
    return RINGMOE_OK;
}

/* The value as rm_recipe_write would have written it. */
static bool read_value(const json_t *found, rm_recipe_item *item)
{
    if (json_is_string(found))
        snprintf(item->value, sizeof item->value, "%s", json_string_value(found));
    else if (json_is_integer(found))
        snprintf(item->value, sizeof item->value, "%lld", (long long)json_integer_value(found));
    else if (json_is_real(found))
        rm_number_format(json_real_value(found), item->value);
    return json_is_string(found) || json_is_number(found);
}

static ringmoe_status read_recipe(const json_t *root, const char *path, rm_recipe *recipe,
                                  rm_error *error)
{
    const json_t *object = json_object_get(root, "recipe");
    for (int i = 0; i < recipe->n_items; i++) {
        rm_recipe_item *item = &recipe->items[i];
        if (!read_value(json_object_get(object, item->name), item))
            return fail_key(path, item->name, "a number or a word", error);
    }
    return RINGMOE_OK;
}

static ringmoe_status read_counts(const json_t *root, const char *path, rm_manifest *manifest,
                                  rm_error *error)
{
    const json_t *list = json_object_get(root, "balance_counts");
    int64_t n = manifest->n_balance_counts;
    if (n == 0) return RINGMOE_OK;
    if (!json_is_array(list) || json_array_size(list) != (size_t)n)
        return fail_key(path, "balance_counts", "a list of one number an expert", error);
    manifest->balance_counts = calloc((size_t)n, sizeof *manifest->balance_counts);
    if (!manifest->balance_counts)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for %lld counts", path,
                       (long long)n);
    for (int64_t i = 0; i < n; i++) {
        const json_t *count = json_array_get(list, (size_t)i);
        manifest->balance_counts[i] = json_integer_value(count);
        if (!json_is_integer(count) || manifest->balance_counts[i] < 0)
            return fail_key(path, "balance_counts", "made of whole numbers from 0", error);
    }
    return RINGMOE_OK;
}

static ringmoe_status read_root(const json_t *root, const char *path, rm_manifest *manifest,
                                rm_error *error)
{
    int64_t version = 0;
    RM_TRY(read_integer(root, path, "format_version", &version, error));
    if (version != FORMAT_VERSION)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: format_version is %lld; this library reads %d", path,
                       (long long)version, FORMAT_VERSION);
    RM_TRY(read_integer(root, path, "step", &manifest->step, error));
    RM_TRY(read_hash(root, path, "weights_hash", manifest->weights_hash, error));
    RM_TRY(read_hash(root, path, "exp_avg_hash", manifest->moment1_hash, error));
    RM_TRY(read_hash(root, path, "exp_avg_sq_hash", manifest->moment2_hash, error));
    RM_TRY(read_recipe(root, path, &manifest->recipe, error));
    return read_counts(root, path, manifest, error);
}

static ringmoe_status read_file(rm_manifest *manifest, const char *path, rm_error *error)
{
    char *text;
    int64_t size;
    json_error_t trouble;
    int64_t most = MAX_STATE_BYTES + COUNT_BYTES * manifest->n_balance_counts;
    RM_TRY(rm_file_read(path, most, &text, &size, error));
    json_t *root = json_loadb(text, (size_t)size, JSON_REJECT_DUPLICATES, &trouble);
    free(text);
    if (!root)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: line %d: %s", path, trouble.line,
                       trouble.text);
    ringmoe_status status = read_root(root, path, manifest, error);
    json_decref(root);
    return status;
}

ringmoe_status rm_manifest_read(rm_manifest *manifest, const rm_recipe *expected,
                                int64_t n_balance_counts, const char *folder, rm_error *error)
{
    *manifest = (rm_manifest){.recipe = *expected, .n_balance_counts = n_balance_counts};
    char *path = rm_path_join(folder, RM_STATE_FILE);
    if (!path)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its path", folder);
    ringmoe_status status = read_file(manifest, path, error);
    free(path);
    return status;
}

void rm_manifest_free(rm_manifest *manifest)
{
    free(manifest->balance_counts);
    manifest->balance_counts = NULL;
}
