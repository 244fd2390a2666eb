/* SPDX-License-Identifier: MIT
 *
 * The load that steps are timed at. A router that has just been made sends nearly everything to
 * two experts of a layer, since all tokens look alike to it; one that has been trained for a
 * while spreads them. To get there within seconds, weights start narrow, which keeps tokens
 * apart, and stay as they are (a rate of 0), while the selection biases are moved after each
 * step until the experts are loaded alike. The work of a step is that of any other.
 */
#include <math.h>

#include "step.h"

/* Bounds of the steps before the timed ones, and what is even enough to start with. */
enum { SETTLING_STEPS = 24 };
static const double narrow_range = 0.002, even_enough = 1.2;

/* A step's move of the bias, in parts of what scores differ by from token to token. */
static const double bias_part = 0.03;

void load_prepare(step_load load, ringmoe_model_config *config, ringmoe_train_settings *train)
{
    if (load == LOAD_UNTRAINED) return;
    config->initializer_range = narrow_range;
    train->lr = 0;
    if (load == LOAD_SKEWED || config->num_local_experts == 0) return;
    double logits = narrow_range * sqrt(config->hidden_size);
    config->router_bias_rate = bias_part * logits / config->num_local_experts;
}

double load_of_layers(const bench_subject *subject)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < subject->config.num_hidden_layers; i++) {
        ringmoe_layer_load load;
        if (ringmoe_trainer_layer_load(subject->trainer, i, &load) != RINGMOE_OK) break;
        if (load.n_tokens == 0) continue;
        sum += load.max_over_mean;
        n++;
    }
    return n ? sum / n : 0;
}

int load_settle(tool_session *session, const step_options *options, bench_subject *subject)
{
    bool is_settled = options->load != LOAD_EVEN || subject->config.num_local_experts == 0;
    for (int i = 0; i < SETTLING_STEPS && !is_settled; i++) {
        int status = subject_step(session, subject, false);
        if (status) return status;
        double load = session->rank == 0 ? load_of_layers(subject) : 0;
        session_share(session, &load, sizeof load);
        is_settled = load <= even_enough;
    }
    return EXIT_DONE;
}
