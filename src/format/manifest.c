/* SPDX-License-Identifier: MIT */
#include "format/manifest.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/manifest_seal.h"

static void free_file(rm_listed_file *file)
{
    free(file->name);
    free(file->hashes);
}

void rm_file_manifest_free(rm_file_manifest *manifest)
{
    for (int i = 0; i < manifest->n_files; i++) free_file(&manifest->files[i]);
    free(manifest->files);
    *manifest = (rm_file_manifest){0};
}

const char *rm_listed_name_trouble(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > NAME_MAX) return "has no name of 1 to 255 bytes";
    if (name[0] == '.' || strchr(name, '/')) return "is not in the same folder";
    if (!strcmp(name, RM_FILE_MANIFEST_NAME)) return "is the manifest itself";
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at < ' ' || *at == 127 || *at == '"' || *at == '\\')
            return "has a name with characters that none has here";
    return NULL;
}

/* A file more, of which name and hashes have been copied already. */
static ringmoe_status append(rm_file_manifest *manifest, rm_listed_file file, rm_error *error)
{
    size_t room = (size_t)manifest->n_files + 1;
    rm_listed_file *grown = realloc(manifest->files, room * sizeof *grown);
    if (grown) manifest->files = grown;
    if (!grown || !file.name || !file.hashes) {
        free_file(&file);
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to list file %zu", room);
    }
    manifest->files[manifest->n_files++] = file;
    manifest->block_bytes = RM_BLOCK_BYTES;
    return RINGMOE_OK;
}

ringmoe_status rm_file_manifest_add(rm_file_manifest *manifest, const char *name, int64_t bytes,
                                    const uint64_t *hashes, int64_t n_hashes, rm_error *error)
{
    const char *trouble = rm_listed_name_trouble(name);
    if (trouble)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "file %s cannot be listed: it %s", name,
                       trouble);
    if (bytes < 0 || n_hashes != rm_block_count(bytes, RM_BLOCK_BYTES))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "file %s: %lld checksums do not fit its %lld bytes", name,
                       (long long)n_hashes, (long long)bytes);
    rm_listed_file file = {.name = strdup(name), .bytes = bytes, .n_blocks = n_hashes};
    file.hashes = calloc((size_t)n_hashes + 1, sizeof *file.hashes);
    if (file.hashes && n_hashes > 0)
        memcpy(file.hashes, hashes, (size_t)n_hashes * sizeof *hashes);
    return append(manifest, file, error);
}

ringmoe_status rm_file_manifest_add_content(rm_file_manifest *manifest, const char *name,
                                            const void *content, int64_t bytes, rm_error *error)
{
    rm_block_hasher hasher;
    ringmoe_status status = rm_block_hasher_init(&hasher, bytes, error);
    if (status == RINGMOE_OK) {
        rm_block_hasher_add(&hasher, content, bytes);
        rm_block_hasher_finish(&hasher);
        status =
            rm_file_manifest_add(manifest, name, bytes, hasher.hashes, hasher.n_hashes, error);
    }
    rm_block_hasher_free(&hasher);
    return status;
}

static void print_file(const rm_listed_file *file, FILE *out)
{
    fprintf(out, "{\"name\": \"%s\", \"bytes\": %lld, \"xxh3_64\": [", file->name,
            (long long)file->bytes);
    for (int64_t i = 0; i < file->n_blocks; i++)
        fprintf(out, "%s\"%016llx\"", i ? "," : "", (unsigned long long)file->hashes[i]);
    fprintf(out, "]}");
}

static void print_manifest(const rm_file_manifest *manifest, FILE *out)
{
    fprintf(out, "{\"format_version\": %d, \"block_bytes\": %lld, \"files\": [\n",
            RM_FILE_MANIFEST_VERSION, (long long)manifest->block_bytes);
    for (int i = 0; i < manifest->n_files; i++) {
        if (i) fprintf(out, ",\n");
        print_file(&manifest->files[i], out);
    }
    fprintf(out, "],\n");
}

ringmoe_status rm_file_manifest_text(const rm_file_manifest *manifest, char **text,
                                     int64_t *size, rm_error *error)
{
    char *body = NULL;
    size_t length = 0;
    bool whole = false;
    FILE *out = open_memstream(&body, &length);
    if (out) {
        print_manifest(manifest, out);
        bool failed = ferror(out);
        whole = fclose(out) == 0 && !failed;
    }
    *text = whole ? realloc(body, length + RM_SEAL_BYTES + 1) : NULL;
    if (!*text) {
        free(body);
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for " RM_FILE_MANIFEST_NAME);
    }
    rm_manifest_seal(*text, length, *text + length);
    *size = (int64_t)length + RM_SEAL_BYTES;
    return RINGMOE_OK;
}

const rm_listed_file *rm_file_manifest_find(const rm_file_manifest *manifest, const char *name)
{
    for (int i = 0; i < manifest->n_files; i++)
        if (!strcmp(manifest->files[i].name, name)) return &manifest->files[i];
    return NULL;
}

int64_t rm_file_manifest_bytes(const rm_file_manifest *manifest)
{
    int64_t bytes = 0;
    for (int i = 0; i < manifest->n_files; i++) bytes += manifest->files[i].bytes;
    return bytes;
}

int64_t rm_file_manifest_blocks(const rm_file_manifest *manifest)
{
    int64_t n = 0;
    for (int i = 0; i < manifest->n_files; i++) n += manifest->files[i].n_blocks;
    return n;
}
