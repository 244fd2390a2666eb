/* SPDX-License-Identifier: MIT
 *
 * JSON text: our parser and jansson's must agree, on what is JSON and on what it says.
 */
#include <string.h>

#include "format/json.h"
#include "fuzz.h"

/* Numbers of more than 500 digits, which jansson takes. */
static int has_long_number(const uint8_t *data, size_t size)
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        length = data[i] && strchr("0123456789.+-eE", data[i]) ? length + 1 : 0;
        if (length > 500) return 1;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const rm_json_limits limits = {.bytes = 1 << 20, .values = 1 << 20, .depth = 2000};
    rm_error error = {""};
    json_t *ours, *theirs;
    ringmoe_status status =
        rm_json_parse((const char *)data, (int64_t)size, &limits, &ours, &error);
    theirs = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    FUZZ_CHECK(status == RINGMOE_OK || (status == RINGMOE_ERROR_FORMAT && error.text[0]));
    FUZZ_CHECK((status == RINGMOE_OK) == (ours != NULL));
    FUZZ_CHECK(!ours == !theirs || has_long_number(data, size));
    FUZZ_CHECK(!ours || !theirs || json_equal(ours, theirs));
    json_decref(ours);
    json_decref(theirs);
    return 0;
}
