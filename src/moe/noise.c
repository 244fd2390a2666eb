/* SPDX-License-Identifier: MIT
 *
 * Noise of the router while training: jitter of its input (Switch Transformer, Fedus et al.
 * 2021) and normal noise on its logits with a learnt deviation (Shazeer et al. 2017).
 *
 * A number depends on the seed, layer, step, global microbatch, token and column alone, so it
 * is the same on every layout, and is drawn again rather than stored where that is cheap.
 */
#include "moe/router.h"

#include <math.h>

#include "base/random.h"

static rm_random_key noise_key(const ringmoe_moe_settings *settings, const rm_moe_pass *pass,
                               const char *purpose)
{
    uint64_t stream = rm_random_mix(rm_random_stream(purpose), (uint64_t)settings->layer);
    stream = rm_random_mix(stream, (uint64_t)pass->label.step);
    stream = rm_random_mix(stream, (uint64_t)pass->microbatch);
    return (rm_random_key){(uint64_t)settings->seed, stream};
}

/* Four columns share one draw of four words. */
void rm_noise_jitter(const ringmoe_moe_settings *settings, const rm_moe_pass *pass,
                     int64_t token, const rm_real *x, rm_real *output)
{
    enum { COLUMNS = 4 };
    rm_random_key key = noise_key(settings, pass, "router jitter");
    int n = settings->d_model;
    uint64_t draw = (uint64_t)token * (uint64_t)((n + COLUMNS - 1) / COLUMNS);
    for (int first = 0; first < n; first += COLUMNS) {
        uint32_t words[COLUMNS];
        rm_random_words(key, draw++, words);
        for (int i = first; i < n && i < first + COLUMNS; i++) {
            double uniform = words[i - first] * 0x1p-32;
            output[i] = x[i] * (rm_real)(1 + (double)settings->jitter * (2 * uniform - 1));
        }
    }
}

static double softplus(double x)
{
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

void rm_noise_add(const ringmoe_moe_settings *settings, const rm_moe_pass *pass, int64_t token,
                  const rm_real *spread, rm_real *normals, rm_real *logits)
{
    int n = settings->n_experts;
    rm_random_fill_normal(noise_key(settings, pass, "router noise"),
                          (uint64_t)token * (uint64_t)n, n, 1, normals);
    for (int e = 0; e < n; e++)
        logits[e] += (rm_real)((double)normals[e] * softplus((double)spread[e]));
}

void rm_noise_add_backward(int n_experts, const rm_real *spread, const rm_real *normals,
                           const rm_real *d_logits, rm_real *d_spread)
{
    for (int e = 0; e < n_experts; e++)
        d_spread[e] =
            (rm_real)((double)d_logits[e] * (double)normals[e] * sigmoid((double)spread[e]));
}
