/* SPDX-License-Identifier: MIT
 *
 * The second of a model's two GGUF files, beside a first one of a tensor: what opens has the
 * tensors of both, each once, and all their bytes.
 */
#include "format/dtype.h"
#include "format/gguf_write.h"
#include "fuzz.h"

#define NAME "model-0000%d-of-00002.gguf"

static void write_first(void)
{
    static const float data[4];
    rm_tensor_entry entry = {.name = "a", .dtype = RM_DTYPE_F32, .n_dims = 1, .shape = {4}};
    char name[64];
    rm_error error = {""};
    rm_gguf_writer *writer;
    snprintf(name, sizeof name, NAME, 1);
    FUZZ_CHECK(rm_gguf_writer_create(&writer, &error) == RINGMOE_OK);
    rm_gguf_put_u32(writer, "split.no", 0);
    rm_gguf_put_u32(writer, "split.count", 2);
    FUZZ_CHECK(rm_gguf_put_tensor(writer, &entry, &error) == RINGMOE_OK);
    FUZZ_CHECK(rm_gguf_begin(writer, scratch_path(name), &error) == RINGMOE_OK);
    FUZZ_CHECK(rm_gguf_append(writer, data, sizeof data, &error) == RINGMOE_OK);
    FUZZ_CHECK(rm_gguf_commit(&writer, &error) == RINGMOE_OK);
}

static void read_tensors(const rm_gguf *file)
{
    int n_first = 0;
    for (int i = 0; i < rm_gguf_count(file); i++) {
        const rm_tensor *tensor = rm_gguf_tensor(file, i);
        rm_real value;
        n_first += !strcmp(tensor->name, "a");
        for (int64_t at = 0; at < tensor->n_elements; at++)
            rm_tensor_read(rm_kernels_best(), tensor, at, 1, &value);
    }
    FUZZ_CHECK(n_first == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool is_written;
    char name[64];
    rm_error error = {""};
    rm_gguf *file;
    snprintf(name, sizeof name, NAME, 2);
    fuzz_file(name, data, size);
    if (!is_written) write_first();
    is_written = true;
    snprintf(name, sizeof name, NAME, 1);
    ringmoe_status status = rm_gguf_open(scratch_path(name), &file, &error);
    FUZZ_CHECK(status == RINGMOE_OK || (status == RINGMOE_ERROR_FORMAT && error.text[0]));
    FUZZ_CHECK((status == RINGMOE_OK) == (file != NULL));
    if (!file) return 0;
    FUZZ_CHECK(rm_gguf_file_count(file) == 2);
    read_tensors(file);
    rm_gguf_close(&file);
    return 0;
}
