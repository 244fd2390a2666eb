/* SPDX-License-Identifier: MIT
 *
 * A safetensors file: every byte of every tensor of a file that opens can be read, and together
 * they are all of its data.
 */
#include "format/dtype.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rm_error error = {""};
    rm_safetensors *file;
    const char *path = fuzz_file("model.safetensors", data, size);
    ringmoe_status status = rm_safetensors_open(path, &file, &error);
    FUZZ_CHECK(status == RINGMOE_OK || status == RINGMOE_ERROR_FORMAT);
    FUZZ_CHECK((status == RINGMOE_OK) == (file != NULL));
    if (!file) {
        FUZZ_CHECK(error.text[0]);
        return 0;
    }
    static volatile unsigned sum;
    int64_t total = 0;
    for (int i = 0; i < rm_safetensors_count(file); i++) {
        const rm_tensor *tensor = rm_safetensors_tensor(file, i);
        int64_t bytes = tensor->n_elements * rm_dtype_bytes(tensor->dtype);
        FUZZ_CHECK(rm_safetensors_find(file, tensor->name) == tensor);
        FUZZ_CHECK(rm_tensor_fetch(tensor, 0, tensor->n_elements, &error) == RINGMOE_OK);
        for (int64_t at = 0; at < bytes; at++) sum = sum + tensor->data[at];
        rm_tensor_release(tensor, 0, tensor->n_elements);
        total += bytes;
    }
    FUZZ_CHECK(total <= (int64_t)size - 10);
    rm_safetensors_close(&file);
    return 0;
}
