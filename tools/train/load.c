/* SPDX-License-Identifier: MIT
 *
 * How evenly the work lies: tokens over the experts of each layer, and the time that ranks wait
 * for each other.
 */
#include <stdlib.h>

#include "json_text.h"
#include "text.h"
#include "train.h"

/* From here on an uneven load is worth a sentence: the busiest expert of a layer over the mean,
 * and the part of a step that some rank waits for another. */
static const double uneven_load = 2, long_wait = 0.1;
/* Of more ranks the waits are not written down step by step. */
enum { MOST_RANKS = 64 };

/* Milliseconds each rank waited in the last step; NULL without memory. The caller frees it. */
static double *read_waits(const train_job *job)
{
    double *waits = calloc((size_t)job->session->size, sizeof *waits);
    if (waits && ringmoe_trainer_waits(job->trainer, waits) == RINGMOE_OK) return waits;
    free(waits);
    return NULL;
}

static bool read_load(const train_job *job, int layer, ringmoe_layer_load *load)
{
    return ringmoe_trainer_layer_load(job->trainer, layer, load) == RINGMOE_OK &&
           load->n_tokens > 0;
}

void train_load_to_json(const train_job *job, json_t *line)
{
    json_t *layers = json_array(), *waits = json_array();
    double *wait_ms = job->session->size <= MOST_RANKS ? read_waits(job) : NULL;
    ringmoe_layer_load load;
    for (int layer = 0; layer < job->config.num_hidden_layers; layer++)
        if (read_load(job, layer, &load))
            json_array_append_new(
                layers, json_pack("{s:i, s:o, s:o, s:I}", "layer", layer, "max_over_mean",
                                  json_number(load.max_over_mean), "cv", json_number(load.cv),
                                  "dead", (json_int_t)load.dead_experts));
    for (int rank = 0; wait_ms && rank < job->session->size; rank++)
        json_array_append_new(waits, json_number(wait_ms[rank]));
    json_object_set_new(line, "layers", layers);
    json_object_set_new(line, "rank_wait_ms", waits);
    free(wait_ms);
}

static void print_experts(const train_job *job)
{
    ringmoe_layer_load load, worst = {0};
    int64_t dead = job->last.dead_experts;
    int at = 0;
    for (int layer = 0; layer < job->config.num_hidden_layers; layer++)
        if (read_load(job, layer, &load) && load.max_over_mean > worst.max_over_mean) {
            worst = load;
            at = layer;
        }
    if (worst.max_over_mean < uneven_load && dead == 0) return;
    fprintf(job->screen, "load        layer %d's busiest expert had %.1f times the mean", at,
            worst.max_over_mean);
    if (dead)
        fprintf(job->screen, ", and %lld expert%s of all layers had no token", (long long)dead,
                dead > 1 ? "s" : "");
    fprintf(job->screen,
            "; router_aux_loss_coef or router_bias_rate in config.json even it out\n");
}

/* The rank the others wait for is the one that waits least. */
static void print_waits(const train_job *job)
{
    double *wait_ms = read_waits(job), most = 0;
    int slowest = 0;
    for (int rank = 0; wait_ms && rank < job->session->size; rank++) {
        if (wait_ms[rank] > most) most = wait_ms[rank];
        if (wait_ms[rank] < wait_ms[slowest]) slowest = rank;
    }
    if (wait_ms && most - wait_ms[slowest] > long_wait * job->last.step_ms)
        fprintf(
            job->screen,
            "waiting     up to %.0f of %.0f ms a step, which rank %d, the slowest, does not\n",
            most, job->last.step_ms, slowest);
    free(wait_ms);
}

void train_print_load(const train_job *job)
{
    if (job->last.step == 0) return;
    print_experts(job);
    print_waits(job);
}
