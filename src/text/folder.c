/* SPDX-License-Identifier: MIT
 *
 * The text of a folder: its regular files, and those of the folders below it, in the order of
 * their paths (byte by byte, whatever the locale), with a newline between two files. Names that
 * begin with a dot are passed over. A symbolic link to a file is followed, one to a folder is
 * not, so no loop is possible.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "text/tokens.h"

typedef struct path_list {
    char **paths;
    int64_t count, room;
} path_list;

static void free_list(path_list *list)
{
    for (int64_t i = 0; i < list->count; i++) free(list->paths[i]);
    free(list->paths);
}

static ringmoe_status fail_memory(rm_error *error, const char *path)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its text", path);
}

/* Takes `path` over, also when it fails. */
static ringmoe_status append(path_list *list, char *path, const char *folder, rm_error *error)
{
    if (path && list->count == list->room) {
        int64_t room = list->room ? 2 * list->room : 64;
        char **paths = realloc(list->paths, (size_t)room * sizeof *paths);
        if (paths) list->paths = paths, list->room = room;
    }
    if (!path || list->count == list->room) {
        free(path);
        return fail_memory(error, folder);
    }
    list->paths[list->count++] = path;
    return RINGMOE_OK;
}

static ringmoe_status list_folder(const char *path, path_list *list, rm_error *error)
{
    DIR *folder = rm_folder_list(path);
    if (!folder)
        return rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot open this folder: %s", path,
                       strerror(errno));
    ringmoe_status status = RINGMOE_OK;
    for (struct dirent *entry; status == RINGMOE_OK && (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            status = append(list, rm_path_join(path, entry->d_name), path, error);
    closedir(folder);
    return status;
}

/* Grows the list by what is in its folders while walking it, and drops all but regular files.
 */
static ringmoe_status find_files(path_list *list, rm_error *error)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < list->count; i++) {
        struct stat about;
        char *path = list->paths[i];
        list->paths[i] = NULL;
        ringmoe_status status = RINGMOE_OK;
        if (i == 0 || (lstat(path, &about) == 0 && S_ISDIR(about.st_mode)))
            status = list_folder(path, list, error);
        else if (stat(path, &about) == 0 && S_ISREG(about.st_mode))
            list->paths[kept++] = path, path = NULL;
        free(path);
        RM_TRY(status);
    }
    list->count = kept;
    return RINGMOE_OK;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Adds a file to the text, after a newline if there is text before it. */
static ringmoe_status append_file(const char *path, unsigned char **text, int64_t *size,
                                  rm_error *error)
{
    rm_file_map map;
    RM_TRY(rm_file_map_open(path, &map, error));
    if (map.size == 0) return RINGMOE_OK;
    int64_t separator = *size > 0;
    unsigned char *grown = realloc(*text, (size_t)(*size + separator + map.size));
    if (!grown) {
        rm_file_map_close(&map);
        return fail_memory(error, path);
    }
    *text = grown;
    if (separator) grown[*size] = '\n';
    memcpy(grown + *size + separator, map.data, (size_t)map.size);
    *size += separator + map.size;
    rm_file_map_close(&map);
    return RINGMOE_OK;
}

static ringmoe_status list_sorted(const char *path, path_list *list, rm_error *error)
{
    RM_TRY(append(list, strdup(path), path, error));
    RM_TRY(find_files(list, error));
    if (list->count > 1)
        qsort(list->paths, (size_t)list->count, sizeof *list->paths, compare_paths);
    return RINGMOE_OK;
}

/* Adds the files of a path to a list. */
static ringmoe_status add_files(const char *path, path_list *all, rm_error *error)
{
    path_list list = {0};
    ringmoe_status status = rm_path_is_folder(path) ? list_sorted(path, &list, error)
                                                    : append(&list, strdup(path), path, error);
    for (int64_t i = 0; status == RINGMOE_OK && i < list.count; i++) {
        status = append(all, list.paths[i], path, error);
        list.paths[i] = NULL;
    }
    free_list(&list);
    return status;
}

static bool is_same_file(const char *path, const char *other)
{
    struct stat one, two;
    return stat(path, &one) == 0 && stat(other, &two) == 0 && one.st_dev == two.st_dev &&
           one.st_ino == two.st_ino;
}

/* Drops the files that are written meanwhile. */
static void drop_outputs(path_list *list, const char *const *outputs)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < list->count; i++) {
        bool is_output = false;
        for (int k = 0; outputs[k]; k++)
            is_output = is_output || is_same_file(list->paths[i], outputs[k]);
        if (is_output)
            free(list->paths[i]);
        else
            list->paths[kept++] = list->paths[i];
    }
    list->count = kept;
}

static ringmoe_status check_paths(const char *const *paths, int n_paths,
                                  const char *const *outputs, rm_error *error)
{
    for (int i = 0; i < n_paths; i++)
        for (int k = 0; outputs[k]; k++)
            if (is_same_file(paths[i], outputs[k]))
                return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                               "%s: this text is the output, too: give another name", paths[i]);
    return RINGMOE_OK;
}

ringmoe_status rm_text_files(const char *const *paths, int n_paths, const char *const *outputs,
                             char ***files, rm_error *error)
{
    path_list list = {0};
    *files = NULL;
    ringmoe_status status = check_paths(paths, n_paths, outputs, error);
    for (int i = 0; status == RINGMOE_OK && i < n_paths; i++)
        status = add_files(paths[i], &list, error);
    if (status == RINGMOE_OK) drop_outputs(&list, outputs);
    if (status == RINGMOE_OK && list.count == 0)
        status = rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: there is no text in it", paths[0]);
    if (status == RINGMOE_OK) {
        *files = calloc((size_t)list.count + 1, sizeof **files);
        if (!*files) status = fail_memory(error, paths[0]);
    }
    if (*files && list.count > 0)
        memcpy(*files, list.paths, (size_t)list.count * sizeof **files);
    if (*files) list.count = 0;
    free_list(&list);
    return status;
}

ringmoe_status rm_files_size(char *const *files, int64_t *bytes, rm_error *error)
{
    for (*bytes = 0; *files; files++) {
        struct stat about;
        if (stat(*files, &about) != 0)
            return rm_fail(error, RINGMOE_ERROR_FILE, "%s: %s", *files, strerror(errno));
        *bytes += about.st_size;
    }
    return RINGMOE_OK;
}

void rm_text_files_free(char ***files)
{
    for (char **file = *files; file && *file; file++) free(*file);
    free(*files);
    *files = NULL;
}

ringmoe_status rm_folder_read_text(const char *path, unsigned char **text, int64_t *size,
                                   rm_error *error)
{
    path_list list = {0};
    *text = NULL;
    *size = 0;
    ringmoe_status status = list_sorted(path, &list, error);
    for (int64_t i = 0; status == RINGMOE_OK && i < list.count; i++)
        status = append_file(list.paths[i], text, size, error);
    free_list(&list);
    if (status != RINGMOE_OK) {
        free(*text);
        *text = NULL;
    }
    return status;
}
