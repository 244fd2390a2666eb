/* SPDX-License-Identifier: MIT
 *
 * config.json: what is accepted keeps its own rules, and reads back as it was written.
 */
#include <string.h>

#include "format/config.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rm_error error = {""};
    ringmoe_model_config config, again;
    ringmoe_status status = rm_config_read(fuzz_file("read.json", data, size), &config, &error);
    FUZZ_CHECK(status == RINGMOE_OK || (status == RINGMOE_ERROR_FORMAT && error.text[0]));
    if (status != RINGMOE_OK) return 0;
    FUZZ_CHECK(rm_config_check(&config, &error) == RINGMOE_OK);
    const char *path = fuzz_file("written.json", data, 0);
    FUZZ_CHECK(rm_config_write(&config, path, &error) == RINGMOE_OK);
    FUZZ_CHECK(rm_config_read(path, &again, &error) == RINGMOE_OK);
    FUZZ_CHECK(!memcmp(&config, &again, sizeof config));
    return 0;
}
