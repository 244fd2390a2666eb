/* SPDX-License-Identifier: MIT
 *
 * model.safetensors.index.json beside two small files: what is accepted agrees with them.
 */
#include "fuzz.h"
#include "model/weight_files.h"

/* A file of one tensor without elements. */
static void write_tensor(const char *name, const char *tensor)
{
    char text[160];
    int length =
        snprintf(text + 8, sizeof text - 8,
                 "{\"%s\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", tensor);
    for (int i = 0; i < 8; i++) text[i] = (char)(i == 0 ? length : 0);
    fuzz_file(name, (const uint8_t *)text, (size_t)length + 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rm_error error = {""};
    rm_weight_files files;
    fuzz_file("model.safetensors.index.json", data, size);
    write_tensor("model-1.safetensors", "a");
    write_tensor("model-2.safetensors", "b");
    ringmoe_status status = rm_weight_files_open(scratch_folder, &files, &error);
    FUZZ_CHECK(
        status == RINGMOE_OK ||
        ((status == RINGMOE_ERROR_FORMAT || status == RINGMOE_ERROR_FILE) && error.text[0]));
    if (status == RINGMOE_OK) {
        FUZZ_CHECK(files.n_files == 2 && files.n_tensors == 2);
        FUZZ_CHECK(rm_weight_files_find(&files, "a") && rm_weight_files_find(&files, "b"));
    }
    rm_weight_files_close(&files);
    return 0;
}
