/* SPDX-License-Identifier: MIT
 *
 * Runs every file of a corpus through a fuzz target, whole and cut at each of its bytes:
 *
 *   corpus_<target> FOLDER
 */
#include <dirent.h>

#include "base/files.h"
#include "fuzz.h"

enum { MAX_BYTES = 1 << 20 };

/* Copies, so that a read past the end of the input is a read past the end of memory. */
static void run_copy(const char *content, size_t size)
{
    uint8_t *copy = malloc(size + (size == 0));
    FUZZ_CHECK(copy);
    memcpy(copy, content, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_file(const char *path)
{
    char *content;
    int64_t size;
    rm_error error = {""};
    if (rm_file_read(path, MAX_BYTES, &content, &size, &error) != RINGMOE_OK) {
        fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    for (int64_t cut = 0; cut <= size; cut++) run_copy(content, (size_t)cut);
    free(content);
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    int n_files = 0;
    if (!folder) {
        fprintf(stderr, "%s: give the folder of a corpus\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        char *path = rm_path_join(argv[1], entry->d_name);
        FUZZ_CHECK(path);
        run_file(path);
        free(path);
        n_files++;
    }
    closedir(folder);
    printf("%d files\n", n_files);
    return n_files == 0;
}
