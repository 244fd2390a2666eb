/* SPDX-License-Identifier: MIT */
#include "train/folders.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "format/manifest.h"
#include "text/tokenizer.h"
#include "train/state.h"
#include "train/tensor_files.h"

static char *with_suffix(const char *path, size_t length, const char *suffix)
{
    char *name = malloc(length + strlen(suffix) + 1);
    if (name) sprintf(name, "%.*s%s", (int)length, path, suffix);
    return name;
}

void rm_folder_names_free(rm_folder_names *names)
{
    free(names->final);
    free(names->temporary);
    free(names->replaced);
}

ringmoe_status rm_folder_names_init(rm_folder_names *names, const char *folder, rm_error *error)
{
    size_t length = folder ? strlen(folder) : 0;
    while (length > 1 && folder[length - 1] == '/') length--;
    *names = (rm_folder_names){0};
    if (length == 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a checkpoint needs the name of a folder");
    names->final = with_suffix(folder, length, "");
    names->temporary = with_suffix(folder, length, ".tmp");
    names->replaced = with_suffix(folder, length, ".old");
    if (names->final && names->temporary && names->replaced) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its name", folder);
}

static bool is_checkpoint(const char *folder)
{
    char *state = rm_path_join(folder, RM_STATE_FILE);
    bool found = state && access(state, F_OK) == 0;
    free(state);
    return found;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), n = strlen(end);
    return length >= n && !strcmp(text + length - n, end);
}

/* The name, or that before a file gets its last. */
static bool is_named(const char *name, const char *whole)
{
    size_t length = strlen(whole);
    return !strncmp(name, whole, length) && (!name[length] || !strcmp(name + length, ".tmp"));
}

/* Whether a save makes files of that name, or of that name before it gets its last. */
static bool is_file_of_ours(const char *name)
{
    static const char *const whole[] = {RM_CONFIG_FILE, RM_INDEX_FILE, RM_STATE_FILE,
                                        RM_FILE_MANIFEST_NAME};
    static const char *const begins[] = {RM_WEIGHTS_PREFIX, RM_OPTIMIZER_PREFIX};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (is_named(name, whole[i])) return true;
    for (int i = 0; i < RM_TOKENIZER_FILES; i++)
        if (is_named(name, rm_tokenizer_file_names[i])) return true;
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (!strncmp(name, begins[i], strlen(begins[i])) && ends_with(name, ".safetensors"))
            return true;
    return false;
}

/* The folder exists and is a checkpoint, or what was made of one: no file of another's. */
static bool is_ours(const char *folder)
{
    if (is_checkpoint(folder)) return true;
    DIR *list = rm_folder_list(folder);
    bool found = list != NULL;
    for (struct dirent *entry; found && (entry = readdir(list));)
        found = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
                is_file_of_ours(entry->d_name);
    if (list) closedir(list);
    return found;
}

/* A name that the save needs for itself: nobody else's folder has it. */
static ringmoe_status check_removable(const char *folder, rm_error *error)
{
    if (access(folder, F_OK) != 0 || is_ours(folder)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FILE,
                   "%s: is in the way of a save and is not of a checkpoint; it is left as it "
                   "is: give another name",
                   folder);
}

/* Only a checkpoint is ever replaced, or an empty folder. */
static ringmoe_status check_replaceable(const char *folder, rm_error *error)
{
    if (access(folder, F_OK) != 0 || rmdir(folder) == 0) return RINGMOE_OK;
    if (is_checkpoint(folder)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FILE,
                   "%s: exists and is not a checkpoint; it is left as it is: give another name",
                   folder);
}

/* --- what killed runs left behind ----------------------------------------------------------
 */

/* True if `name` is `base` with another number in place of its last digits, and `suffix`. */
static bool is_sibling(const char *name, const char *base, const char *suffix)
{
    size_t stem = strlen(base), length = strlen(name), tail = strlen(suffix);
    while (stem > 0 && isdigit((unsigned char)base[stem - 1])) stem--;
    if (!base[stem] || length <= stem + tail || strncmp(name, base, stem)) return false;
    size_t digits = strspn(name + stem, "0123456789");
    return digits > 0 && stem + digits + tail == length &&
           !strcmp(name + stem + digits, suffix);
}

static void remove_left(const char *folder, const char *name, const char *base)
{
    bool unfinished = is_sibling(name, base, ".tmp"), replaced = is_sibling(name, base, ".old");
    char *path = unfinished || replaced ? rm_path_join(folder, name) : NULL;
    char *whole = path ? with_suffix(path, strlen(path) - strlen(".old"), "") : NULL;
    /* One that was to be replaced may be the only whole one. */
    if (whole && (unfinished || access(whole, F_OK) == 0) && is_ours(path))
        rm_folder_remove(path, NULL);
    free(whole);
    free(path);
}

/* Folders beside `final` that saves of other steps did not finish. Those that cannot be removed
 * stay. */
static void remove_leftovers(const char *final)
{
    const char *slash = strrchr(final, '/');
    char *folder = slash ? with_suffix(final, (size_t)(slash - final) + 1, "") : strdup(".");
    DIR *list = folder ? rm_folder_list(folder) : NULL;
    for (struct dirent *entry; list && (entry = readdir(list));)
        remove_left(folder, entry->d_name, slash ? slash + 1 : final);
    if (list) closedir(list);
    free(folder);
}

/* --- a save --------------------------------------------------------------------------------
 */

ringmoe_status rm_folder_open(const rm_folder_names *names, rm_error *error)
{
    RM_TRY(rm_folder_recover(names, error));
    RM_TRY(check_replaceable(names->final, error));
    RM_TRY(check_removable(names->temporary, error));
    RM_TRY(check_removable(names->replaced, error));
    remove_leftovers(names->final);
    RM_TRY(rm_folder_remove(names->temporary, error));
    return rm_folder_create(names->temporary, error);
}

/* Undoes renamings, of which the last may have been done without being certain to last. */
static void take_back(const rm_folder_names *names, bool replaces)
{
    if (access(names->temporary, F_OK) != 0)
        rm_path_rename(names->final, names->temporary, NULL);
    if (replaces && access(names->final, F_OK) != 0)
        rm_path_rename(names->replaced, names->final, NULL);
}

ringmoe_status rm_folder_publish(const rm_folder_names *names, rm_error *error)
{
    bool replaces = access(names->final, F_OK) == 0;
    ringmoe_status status = RINGMOE_OK;
    if (replaces) {
        RM_TRY(rm_folder_remove(names->replaced, error));
        status = rm_path_rename(names->final, names->replaced, error);
    }
    if (status == RINGMOE_OK) status = rm_path_rename(names->temporary, names->final, error);
    if (status != RINGMOE_OK) {
        take_back(names, replaces);
        return status;
    }
    /* The new one is safe; of the old one the next save removes what is left. */
    rm_folder_remove(names->replaced, NULL);
    return RINGMOE_OK;
}

ringmoe_status rm_folder_recover(const rm_folder_names *names, rm_error *error)
{
    if (access(names->final, F_OK) == 0 || !is_checkpoint(names->replaced)) return RINGMOE_OK;
    return rm_path_rename(names->replaced, names->final, error);
}

void rm_folder_abandon(const rm_folder_names *names)
{
    if (is_ours(names->temporary)) rm_folder_remove(names->temporary, NULL);
}
