/* SPDX-License-Identifier: MIT
 *
 * A GGUF file: every byte of every tensor and value of a file that opens can be read, a
 * configuration that is taken from it keeps its rules, and so do the places of its parameters.
 */
#include "format/config.h"
#include "format/dtype.h"
#include "format/gguf_config.h"
#include "fuzz.h"
#include "model/part_read.h"
#include "model/weight_source.h"

static volatile unsigned sum;

static void read_values(const rm_gguf *file)
{
    for (int i = 0; i < rm_gguf_value_count(file); i++) {
        const rm_gguf_value *value = rm_gguf_value_at(file, i);
        for (int64_t j = 0; j < value->n; j++) {
            int64_t integer = 0;
            double number = 0;
            bool is_number = rm_gguf_number(value, j, &number);
            bool is_text = value->type == RM_GGUF_STRING;
            FUZZ_CHECK(!is_number || !is_text);
            FUZZ_CHECK(!rm_gguf_integer(value, j, &integer) || is_number);
            for (int64_t at = 0; is_text && at < value->texts[j].length; at++)
                sum = sum + (unsigned char)value->texts[j].bytes[at];
        }
        int64_t integer;
        FUZZ_CHECK(!rm_gguf_integer(value, value->n, &integer));
    }
}

static void read_tensors(const rm_gguf *file, size_t size)
{
    const rm_kernels *kernels = rm_kernels_best();
    int64_t total = 0;
    for (int i = 0; i < rm_gguf_count(file); i++) {
        const rm_tensor *tensor = rm_gguf_tensor(file, i);
        rm_real value;
        rm_error error = {""};
        FUZZ_CHECK(tensor->n_elements > 0 && strlen(tensor->name) > 0);
        FUZZ_CHECK(rm_tensor_fetch(tensor, 0, tensor->n_elements, &error) == RINGMOE_OK);
        for (int64_t at = 0; at < tensor->n_elements; at++)
            rm_tensor_read(kernels, tensor, at, 1, &value);
        total += rm_dtype_size(tensor->dtype, tensor->n_elements);
    }
    FUZZ_CHECK(total <= (int64_t)size);
}

/* Every parameter can be read, if the tensors are those of the configuration. */
static void read_parameters(const char *path, const ringmoe_model_config *config)
{
    enum { MOST_PARAMETERS = 4096 };
    rm_error error = {""};
    rm_parameter_table table;
    rm_weight_source *source;
    static rm_weight_place places[MOST_PARAMETERS];
    if (config->num_local_experts > 64 || config->num_hidden_layers > 16) return;
    rm_read_buffer buffer = {0};
    FUZZ_CHECK(rm_parameter_table_create(config, &(rm_placement){0}, &table, &error) ==
               RINGMOE_OK);
    FUZZ_CHECK(rm_weight_source_open(path, &source, &error) == RINGMOE_OK);
    ringmoe_status status = rm_weight_source_match(source, config, &table, places, &error);
    FUZZ_CHECK(status == RINGMOE_OK || (status == RINGMOE_ERROR_FORMAT && error.text[0]));
    for (int i = 0; status == RINGMOE_OK && i < table.n_parameters; i++) {
        const rm_parameter *parameter = &table.parameters[i];
        rm_parameter_part whole = rm_parameter_part_of(parameter, 1, 0);
        if (parameter->tied) continue;
        rm_real *values = malloc((size_t)parameter->n_elements * sizeof *values);
        FUZZ_CHECK(values);
        FUZZ_CHECK(rm_part_read_here(rm_kernels_best(), &places[i], parameter, &whole, 0,
                                     parameter->n_elements, values, &buffer,
                                     &error) == RINGMOE_OK);
        free(values);
    }
    free(buffer.bytes);
    rm_weight_source_close(&source);
    rm_parameter_table_free(&table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rm_error error = {""};
    rm_gguf *file;
    ringmoe_model_config config;
    const char *path = fuzz_file("model.gguf", data, size);
    ringmoe_status status = rm_gguf_open(path, &file, &error);
    FUZZ_CHECK(status == RINGMOE_OK || status == RINGMOE_ERROR_FORMAT);
    FUZZ_CHECK((status == RINGMOE_OK) == (file != NULL));
    FUZZ_CHECK(file || error.text[0]);
    if (!file) return 0;
    read_values(file);
    read_tensors(file, size);
    status = rm_gguf_config(file, &config, &error);
    FUZZ_CHECK(status == RINGMOE_OK || (status == RINGMOE_ERROR_FORMAT && error.text[0]));
    rm_gguf_close(&file);
    if (status != RINGMOE_OK) return 0;
    FUZZ_CHECK(rm_config_check(&config, &error) == RINGMOE_OK);
    read_parameters(path, &config);
    return 0;
}
