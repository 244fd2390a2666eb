/* SPDX-License-Identifier: MIT */
#include "format/tensor_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/printable.h"

bool rm_tensor_source_get(const rm_tensor_source *source, int64_t at, void *bytes, int64_t n)
{
    errno = 0;
    for (int64_t done = 0; done < n;) {
        ssize_t got = pread(source->descriptor, (char *)bytes + done, (size_t)(n - done),
                            (off_t)(at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        done += got;
    }
    return true;
}

ringmoe_status rm_tensor_source_read(const rm_tensor_source *source, int64_t at, void *bytes,
                                     int64_t n, rm_error *error)
{
    if (rm_tensor_source_get(source, at, bytes, n)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FILE, "its header cannot be read%s%s",
                   errno ? ": " : "; the file became shorter meanwhile",
                   errno ? strerror(errno) : "");
}

ringmoe_status rm_tensor_source_open(rm_tensor_source *source, const char *path,
                                     rm_header_reader read_header, void *file, rm_error *error)
{
    *source = (rm_tensor_source){.path = strdup(path), .descriptor = -1};
    if (!source->path)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory to open it", path);
    RM_TRY(rm_file_map_keep_open(path, &source->map, &source->descriptor, error));
#ifdef POSIX_FADV_SEQUENTIAL
    posix_fadvise(source->descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
#endif
    rm_error why = {""};
    ringmoe_status status = read_header(file, &why);
    if (status == RINGMOE_OK) return status;
    rm_text_make_printable(why.text);
    return rm_fail(error, status, "%s: %s", path, why.text);
}

void rm_tensor_source_close(rm_tensor_source *source)
{
    rm_file_map_close(&source->map);
    if (source->path && source->descriptor >= 0) close(source->descriptor);
    free(source->path);
    *source = (rm_tensor_source){.descriptor = -1};
}
