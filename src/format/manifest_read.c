/* SPDX-License-Identifier: MIT
 *
 * Reading manifest.json. Its last line vouches for the bytes before it and is compared byte for
 * byte; then the rest is read as if it came from anywhere.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "format/json.h"
#include "format/manifest_seal.h"
#include "format/printable.h"

/* 4 million blocks of 4 MiB: a checkpoint of 16 TiB. */
static const rm_json_limits manifest_limits = {
    .bytes = (int64_t)128 << 20, .values = (int64_t)1 << 23, .depth = 5};
static const int64_t least_block_bytes = 1 << 12, most_block_bytes = 1 << 30;

static ringmoe_status bad(rm_error *error, const char *what, const char *rule)
{
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%.255s %s", what, rule);
}

/* 16 lower-case digits, as the writer makes them. */
static bool read_hex(const char *text, uint64_t *value)
{
    static const char digits[] = "0123456789abcdef";
    *value = 0;
    if (!text || strlen(text) != 16) return false;
    for (int i = 0; i < 16; i++) {
        const char *digit = strchr(digits, text[i]);
        if (!digit) return false;
        *value = *value << 4 | (uint64_t)(digit - digits);
    }
    return true;
}

static ringmoe_status read_hashes(const json_t *list, rm_listed_file *file, rm_error *error)
{
    if (!json_is_array(list) || json_array_size(list) != (size_t)file->n_blocks)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%.255s: xxh3_64 must be a list of %lld checksums", file->name,
                       (long long)file->n_blocks);
    file->hashes = calloc((size_t)file->n_blocks + 1, sizeof *file->hashes);
    if (!file->hashes)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld checksums",
                       (long long)file->n_blocks);
    for (int64_t i = 0; i < file->n_blocks; i++)
        if (!read_hex(json_string_value(json_array_get(list, (size_t)i)), &file->hashes[i]))
            return bad(error, file->name, "has a checksum that is not 16 hex digits");
    return RINGMOE_OK;
}

static ringmoe_status read_file_entry(const json_t *entry, int64_t block_bytes,
                                      rm_listed_file *file, rm_error *error)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    const json_t *bytes = json_object_get(entry, "bytes");
    if (!name || json_object_size(entry) != 3)
        return bad(error, "a file", "is listed otherwise than with name, bytes and xxh3_64");
    const char *trouble = rm_listed_name_trouble(name);
    if (trouble) return bad(error, name, trouble);
    if (!json_is_integer(bytes) || json_integer_value(bytes) < 0)
        return bad(error, name, "has no size in bytes");
    file->name = strdup(name);
    if (!file->name)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the names of its files");
    file->bytes = json_integer_value(bytes);
    file->n_blocks = rm_block_count(file->bytes, block_bytes);
    return read_hashes(json_object_get(entry, "xxh3_64"), file, error);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* No name twice, and sizes that can be added. */
static ringmoe_status check_files(const rm_file_manifest *manifest, rm_error *error)
{
    int n = manifest->n_files;
    int64_t total = 0;
    const char **names = calloc((size_t)n + 1, sizeof *names);
    if (!names) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %d names", n);
    ringmoe_status status = RINGMOE_OK;
    for (int i = 0; i < n && status == RINGMOE_OK; i++) {
        names[i] = manifest->files[i].name;
        if (__builtin_add_overflow(total, manifest->files[i].bytes, &total))
            status = bad(error, names[i], "makes the sum of all sizes overflow");
    }
    if (status == RINGMOE_OK) qsort(names, (size_t)n, sizeof *names, compare_names);
    for (int i = 1; i < n && status == RINGMOE_OK; i++)
        if (!strcmp(names[i - 1], names[i])) status = bad(error, names[i], "is listed twice");
    free(names);
    return status;
}

static ringmoe_status read_root(const json_t *root, rm_file_manifest *manifest, rm_error *error)
{
    const json_t *version = json_object_get(root, "format_version");
    const json_t *block = json_object_get(root, "block_bytes");
    const json_t *files = json_object_get(root, "files");
    if (!json_is_integer(version)) return bad(error, "format_version", "is not a number");
    if (json_integer_value(version) != RM_FILE_MANIFEST_VERSION)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "made by another version: format_version is %lld; this library reads %d",
                       (long long)json_integer_value(version), RM_FILE_MANIFEST_VERSION);
    if (!json_is_integer(block) || json_integer_value(block) < least_block_bytes ||
        json_integer_value(block) > most_block_bytes)
        return bad(error, "block_bytes", "is not from 4096 to 2^30");
    if (!json_is_array(files) || json_array_size(files) == 0 || json_object_size(root) != 4)
        return bad(error, "files", "is missing or empty, or another key is there");
    size_t n = json_array_size(files);
    manifest->block_bytes = json_integer_value(block);
    manifest->files = calloc(n, sizeof *manifest->files);
    if (!manifest->files)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for its %zu files", n);
    for (size_t i = 0; i < n; i++) {
        manifest->n_files++;
        RM_TRY(read_file_entry(json_array_get(files, i), manifest->block_bytes,
                               &manifest->files[i], error));
    }
    return check_files(manifest, error);
}

static ringmoe_status check_seal(const char *text, int64_t size, rm_error *error)
{
    char seal[RM_SEAL_BYTES + 1];
    if (size >= RM_SEAL_BYTES) {
        size_t length = (size_t)(size - RM_SEAL_BYTES);
        rm_manifest_seal(text, length, seal);
        if (!memcmp(text + length, seal, RM_SEAL_BYTES)) return RINGMOE_OK;
    }
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "its last line is not the checksum of the %lld bytes before it; it is "
                   "damaged or cut short",
                   (long long)(size >= RM_SEAL_BYTES ? size - RM_SEAL_BYTES : 0));
}

ringmoe_status rm_file_manifest_parse(const char *text, int64_t size, const char *path,
                                      rm_file_manifest *manifest, rm_error *error)
{
    json_t *root = NULL;
    rm_error why = {""};
    *manifest = (rm_file_manifest){0};
    ringmoe_status status = check_seal(text, size, &why);
    if (status == RINGMOE_OK) status = rm_json_parse(text, size, &manifest_limits, &root, &why);
    if (status == RINGMOE_OK) status = read_root(root, manifest, &why);
    json_decref(root);
    if (status == RINGMOE_OK) return RINGMOE_OK;
    rm_text_make_printable(why.text);
    return rm_fail(error, status, "%s: %s", path, why.text);
}

ringmoe_status rm_file_manifest_read(const char *folder, rm_file_manifest *manifest,
                                     rm_error *error)
{
    char *text = NULL, *path = rm_path_join(folder, RM_FILE_MANIFEST_NAME);
    int64_t size;
    *manifest = (rm_file_manifest){0};
    if (!path) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for a path", folder);
    ringmoe_status status = rm_file_read(path, manifest_limits.bytes, &text, &size, error);
    if (status == RINGMOE_OK)
        status = rm_file_manifest_parse(text, size, path, manifest, error);
    free(text);
    free(path);
    return status;
}
