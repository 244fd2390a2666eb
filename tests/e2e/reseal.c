/* SPDX-License-Identifier: MIT
 *
 * reseal CHECKPOINT: writes its manifest anew for the files as they are now, so that a changed
 * one is not taken for damage.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/files.h"
#include "format/manifest.h"

/* The listed file as it is now; 0: done. */
static int add_file(rm_file_manifest *manifest, const char *folder, const char *name)
{
    rm_error error;
    char *path = rm_path_join(folder, name), *content = NULL;
    FILE *file = path ? fopen(path, "rb") : NULL;
    long bytes = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (bytes >= 0) content = malloc((size_t)bytes + 1);
    if (content) rewind(file);
    int failed = !content || fread(content, 1, (size_t)bytes, file) != (size_t)bytes ||
                 rm_file_manifest_add_content(manifest, name, content, bytes, &error);
    if (file) fclose(file);
    free(content);
    free(path);
    return failed;
}

static int write_manifest(const rm_file_manifest *manifest, const char *folder)
{
    rm_error error;
    char *text = NULL, *path = rm_path_join(folder, "manifest.json");
    int64_t size = 0;
    int failed = !path || rm_file_manifest_text(manifest, &text, &size, &error);
    FILE *file = failed ? NULL : fopen(path, "wb");
    failed = !file || fwrite(text, 1, (size_t)size, file) != (size_t)size;
    if (file) failed |= fclose(file) != 0;
    free(text);
    free(path);
    return failed;
}

int main(int argc, char **argv)
{
    rm_file_manifest before, manifest = {0};
    rm_error error;
    if (argc != 2) return 2;
    int failed = rm_file_manifest_read(argv[1], &before, &error) != RINGMOE_OK;
    for (int i = 0; i < before.n_files && !failed; i++)
        failed = add_file(&manifest, argv[1], before.files[i].name);
    if (!failed) failed = write_manifest(&manifest, argv[1]);
    rm_file_manifest_free(&before);
    rm_file_manifest_free(&manifest);
    return failed;
}
