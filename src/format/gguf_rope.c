/* SPDX-License-Identifier: MIT */
#include "format/gguf_rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/config_rope.h"

enum { KEY_BYTES = 96 };

/* Divisors are stored in fp32, and some were computed so. */
static const double tolerance = 1e-5;

/* --- the keys --- */

static const rm_gguf_value *find_key(const rm_gguf *file, const char *architecture,
                                     const char *name, char key[KEY_BYTES])
{
    snprintf(key, KEY_BYTES, "%s.%s", architecture, name);
    return rm_gguf_find(file, key);
}

static bool says(const rm_gguf_value *value, const char *word)
{
    return value->type == RM_GGUF_STRING && !value->is_array &&
           (size_t)value->texts[0].length == strlen(word) &&
           !memcmp(value->texts[0].bytes, word, strlen(word));
}

static ringmoe_status read_keys(const rm_gguf *file, const char *architecture,
                                ringmoe_model_config *config, rm_error *error)
{
    char key[KEY_BYTES];
    double factor = 1;
    const rm_gguf_value *type = find_key(file, architecture, RM_GGUF_ROPE_TYPE, key);
    if (type && !says(type, "none") && !says(type, "linear"))
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "key %s: must be none or linear; other scalings of rotary positions are "
                       "not supported",
                       key);
    const rm_gguf_value *value = find_key(file, architecture, RM_GGUF_ROPE_FACTOR, key);
    if (value && (value->is_array || !rm_gguf_number(value, 0, &factor)))
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "key %s: must be a number", key);
    bool is_off = factor == 0 || factor == 1 || (type && says(type, "none"));
    if (is_off) return RINGMOE_OK;
    config->rope_type = RINGMOE_ROPE_LINEAR;
    config->rope_factor = value->type == RM_GGUF_F32 ? rm_gguf_decimal(factor) : factor;
    return RINGMOE_OK;
}

void rm_gguf_rope_put(rm_gguf_writer *writer, const char *architecture,
                      const ringmoe_model_config *config)
{
    char key[KEY_BYTES];
    if (config->rope_type != RINGMOE_ROPE_LINEAR) return;
    snprintf(key, sizeof key, "%s." RM_GGUF_ROPE_TYPE, architecture);
    rm_gguf_put_text(writer, key, "linear");
    snprintf(key, sizeof key, "%s." RM_GGUF_ROPE_FACTOR, architecture);
    rm_gguf_put_f32(writer, key, config->rope_factor);
}

/* --- the tensor --- */

void rm_gguf_rope_divisors(const ringmoe_model_config *config, float *divisors)
{
    rm_rope_scaling scaling = rm_rope_scaling_of(config);
    for (int i = 0; i < config->head_dim / 2; i++)
        divisors[i] = (float)rm_rope_divisor(
            &scaling, rm_rope_frequency(config->rope_theta, config->head_dim, i));
}

static bool makes(const ringmoe_model_config *config, const float *divisors, float *made)
{
    rm_error unused;
    if (rm_rope_check(config, &unused) != RINGMOE_OK) return false;
    rm_gguf_rope_divisors(config, made);
    for (int i = 0; i < config->head_dim / 2; i++)
        if (!(fabs((double)(made[i] - divisors[i])) <= tolerance * (double)divisors[i]))
            return false;
    return true;
}

/* A pair whose frequency is divided in part. */
typedef struct between {
    double frequency;
    double share; /* of the frequency that is not divided */
} between;

/* How far each pair is from being divided wholly is a line over its frequency,
 *
 *     share = (original / 2 pi * frequency - low) / (high - low),
 *
 * and does not change if original, low and high are multiplied by one number: with low = 1 two
 * pairs tell the line. One tells it for the usual high = 4, or where a pair beside it would be
 * between too then, for a smaller one; without any, the last pair that is not divided and the
 * first that is leave room for it. */
typedef struct line {
    double turns; /* original / 2 pi */
    double width; /* high - low */
} line;

static line line_of_none(double undivided, double divided, double usual)
{
    double least = isinf(undivided) ? 1 : (1 + usual) / undivided;
    double most = divided > 0 ? 1 / divided : least;
    if (least <= most) return (line){sqrt(least * most), usual};
    return (line){most, undivided / divided - 1};
}

static line line_of_one(between pair, double undivided, double divided, double usual)
{
    double above = undivided / pair.frequency, below = divided / pair.frequency, width = usual;
    if (!isinf(above) && above * pair.share < 1)
        width = fmin(width, (above - 1) / (1 - above * pair.share));
    if (below > 0) width = fmin(width, (1 - below) / (pair.share * below));
    return (line){(1 + width * pair.share) / pair.frequency, width};
}

static line find_line(const ringmoe_model_config *config, double factor, const float *divisors)
{
    const double usual = 3;
    double undivided = INFINITY,
           divided = 0; /* frequencies of the pairs next to those between */
    between ends[2];
    int n = 0;
    for (int i = 0; i < config->head_dim / 2; i++) {
        double divisor = (double)divisors[i];
        double frequency = rm_rope_frequency(config->rope_theta, config->head_dim, i);
        if (divisor == 1)
            undivided = frequency;
        else if (divisor == factor)
            divided = fmax(divided, frequency);
        else
            ends[n++ > 0] = (between){frequency, (1 / divisor - 1 / factor) / (1 - 1 / factor)};
    }
    if (n == 0) return line_of_none(undivided, divided, usual);
    if (n == 1) return line_of_one(ends[0], undivided, divided, usual);
    double crossed = ends[0].share * ends[1].frequency - ends[0].frequency * ends[1].share;
    return (line){(ends[0].share - ends[1].share) / crossed,
                  (ends[0].frequency - ends[1].frequency) / crossed};
}

/* The nearest number of six digits. */
static double rounded(double number)
{
    char text[32];
    snprintf(text, sizeof text, "%.6g", number);
    return strtod(text, NULL);
}

/* Settings whose divisors these are: whole original positions, and short numbers if they do.
 * False: there are none. */
static bool find_settings(ringmoe_model_config *config, const float *divisors, float *made)
{
    double factor = 1;
    for (int i = 0; i < config->head_dim / 2; i++) factor = fmax(factor, (double)divisors[i]);
    line found = find_line(config, factor, divisors);
    config->rope_type = RINGMOE_ROPE_LLAMA3;
    config->rope_factor = rm_gguf_decimal(factor);
    double original = round(found.turns * 2 * acos(-1));
    if (!(original >= 1 && original <= 1 << 24)) return false;
    double low = original / (found.turns * 2 * acos(-1)), high = low * (1 + found.width);
    config->rope_original_positions = (int)original;
    config->rope_low_factor = rounded(low);
    config->rope_high_factor = rounded(high);
    if (makes(config, divisors, made)) return true;
    config->rope_low_factor = low;
    config->rope_high_factor = high;
    return makes(config, divisors, made);
}

static bool is_scaled(const float *divisors, int64_t n)
{
    int64_t i = 0;
    while (i < n && divisors[i] == 1) i++;
    return i < n;
}

static ringmoe_status read_tensor(const rm_tensor *tensor, ringmoe_model_config *config,
                                  rm_error *error)
{
    enum { PAIRS_MOST = 512 };
    float divisors[PAIRS_MOST], made[PAIRS_MOST];
    int64_t n = config->head_dim / 2;
    if (tensor->dtype != RM_DTYPE_F32 || tensor->n_dims != 1 || n > PAIRS_MOST ||
        tensor->shape[0] != n)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "tensor " RM_GGUF_ROPE_TENSOR ": must be %lld numbers of type F32",
                       (long long)n);
    RM_TRY(rm_tensor_fetch(tensor, 0, n, error));
    memcpy(divisors, tensor->data, (size_t)n * sizeof *divisors);
    rm_tensor_release(tensor, 0, n);
    if (!is_scaled(divisors, n)) return RINGMOE_OK;
    if (config->rope_type == RINGMOE_ROPE_DEFAULT && find_settings(config, divisors, made))
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "tensor " RM_GGUF_ROPE_TENSOR
                   ": is no scaling of Llama 3's kind; other ones are not supported");
}

ringmoe_status rm_gguf_rope_read(const rm_gguf *file, const char *architecture,
                                 ringmoe_model_config *config, rm_error *error)
{
    RM_TRY(read_keys(file, architecture, config, error));
    const rm_tensor *tensor = NULL;
    for (int i = 0; i < rm_gguf_count(file); i++)
        if (!strcmp(rm_gguf_tensor(file, i)->name, RM_GGUF_ROPE_TENSOR))
            tensor = rm_gguf_tensor(file, i);
    if (!tensor) return RINGMOE_OK;
    if (!strcmp(architecture, "llama")) return read_tensor(tensor, config, error);
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "tensor " RM_GGUF_ROPE_TENSOR ": models of %s have no such tensor",
                   architecture);
}
