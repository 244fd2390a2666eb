/* SPDX-License-Identifier: MIT
 *
 * JSON text: our parser and jansson's must agree, on what is JSON and on what it says. Whole
 * numbers past 64 bits jansson takes only if all of them become real.
 */
#include <string.h>

#include "format/json.h"
#include "fuzz.h"

/* What jansson takes and we do not: numbers of more than 500 digits, and a NUL character behind
 * a number, which RFC 8259 does not allow. */
static int may_differ(const uint8_t *data, size_t size)
{
    size_t length = 0;
    if (size && memchr(data, 0, size)) return 1;
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
    int all_real = !theirs;
    if (all_real)
        theirs = json_loadb((const char *)data, size,
                            JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
    FUZZ_CHECK(status == RINGMOE_OK || (status == RINGMOE_ERROR_FORMAT && error.text[0]));
    FUZZ_CHECK((status == RINGMOE_OK) == (ours != NULL));
    FUZZ_CHECK(!ours == !theirs || (!ours && may_differ(data, size)));
    FUZZ_CHECK(!ours || !theirs || all_real || json_equal(ours, theirs));
    json_decref(ours);
    json_decref(theirs);
    return 0;
}
