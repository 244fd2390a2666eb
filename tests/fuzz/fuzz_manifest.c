/* SPDX-License-Identifier: MIT
 *
 * manifest.json: as it is, and with a last line that vouches for it, so that what lies behind
 * the checksum is reached. What is accepted can be written and read again.
 */
#include <stdbool.h>
#include <string.h>

#include "format/manifest_seal.h"
#include "fuzz.h"

static ringmoe_status parse(const char *text, size_t size, rm_file_manifest *manifest)
{
    rm_error error = {""};
    ringmoe_status status =
        rm_file_manifest_parse(text, (int64_t)size, "manifest", manifest, &error);
    bool is_refused = status == RINGMOE_ERROR_FORMAT || status == RINGMOE_ERROR_ARGUMENT;
    FUZZ_CHECK(status == RINGMOE_OK || (is_refused && error.text[0]));
    return status;
}

static void write_again(rm_file_manifest *manifest)
{
    rm_file_manifest again;
    rm_error error = {""};
    char *text;
    int64_t size;
    FUZZ_CHECK(rm_file_manifest_text(manifest, &text, &size, &error) == RINGMOE_OK);
    FUZZ_CHECK(parse(text, (size_t)size, &again) == RINGMOE_OK);
    FUZZ_CHECK(again.n_files == manifest->n_files);
    FUZZ_CHECK(rm_file_manifest_bytes(&again) == rm_file_manifest_bytes(manifest));
    rm_file_manifest_free(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rm_file_manifest manifest;
    parse((const char *)data, size, &manifest);
    rm_file_manifest_free(&manifest);
    char *sealed = malloc(size + RM_SEAL_BYTES + 1);
    FUZZ_CHECK(sealed);
    memcpy(sealed, data, size);
    rm_manifest_seal(sealed, size, sealed + size);
    if (parse(sealed, size + RM_SEAL_BYTES, &manifest) == RINGMOE_OK) write_again(&manifest);
    rm_file_manifest_free(&manifest);
    free(sealed);
    return 0;
}
