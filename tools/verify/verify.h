/* SPDX-License-Identifier: MIT
 *
 * `ringmoe verify`: the layout must not change the answer. A small model is trained for a few
 * steps by one rank with one thread, and again in each layout; losses, norms, and each
 * parameter's gradient and weights are compared after every step.
 *
 *   verify.c          the command: options, the loop over the layouts, the verdict
 *   layouts.c  a layout in words ("pp2xep2:zb-h1"), and the list if none is given
 *   model.c    the built-in model and the work it is given
 *   run.c      the steps in one layout, and what they came to
 *   compare.c  two such records, by name
 *   gradient.c derivatives by finite differences
 *   print.c    table, verdict, JSON
 */
#ifndef TOOLS_VERIFY_H
#define TOOLS_VERIFY_H

#include "session.h"

#define VERIFY_MAX_LAYOUTS 256
#define VERIFY_NAME 96

/* A layout and the way of working in it. */
typedef struct verify_layout {
    ringmoe_mesh_dims dims; /* all positive; the first ranks of the session have it */
    char schedule[16];      /* "": chosen */
    int chunks, threads;    /* 0: chosen; as the session has */
    int nodes;              /* 0: those there are; else as if the ranks lay on so many */
    int recompute, reproducible, shadow;
    int64_t seed; /* 0; another number must be found out */
} verify_layout;

typedef struct verify_layouts {
    verify_layout rows[VERIFY_MAX_LAYOUTS];
    int count;
    int n_unfit, n_beyond; /* left out: the work cannot be divided so; there are too many */
} verify_layouts;

int verify_layout_ranks(const verify_layout *layout);
/* "pp2xep2:zb-h1:full", "serial:threads2": as --layouts reads it. */
void verify_layout_name(const verify_layout *layout, char name[VERIFY_NAME]);
/* Reads a list; false with one line in `text`. */
bool verify_layouts_parse(const char *list, verify_layouts *layouts, char *text, size_t size);

/* What all layouts have in common. */
typedef struct verify_work {
    ringmoe_model_config config;
    ringmoe_train_settings train;
    const char *model; /* NULL: the built-in one */
} verify_work;

/* The built-in model and its steps, made so that any layout of so many ranks has enough layers,
 * experts and microbatches. */
void verify_work_default(int n_ranks, verify_work *work);
/* Layouts for all ranks that fit the work: each way of splitting them over the axes, schedules
 * and recomputation in turns. */
void verify_layouts_default(int n_ranks, const verify_work *work, int reproducible,
                            verify_layouts *layouts);

/* What a training came to: after each step its metrics, and a digest of each parameter. */
typedef struct verify_record {
    int n_steps, n_parameters;
    ringmoe_step_metrics *metrics;       /* [n_steps] */
    ringmoe_parameter_digest *gradients; /* [n_steps][n_parameters] */
    ringmoe_parameter_digest *weights;   /* [n_steps][n_parameters] */
    double final_loss;                   /* of an evaluation after the last step */
    double seconds;
    ringmoe_status status; /* of the library; a line in `text` if it is not OK */
    char text[1024];
} verify_record;

/* Derivatives of the loss along the gradient and along fixed signs, two for each kind of
 * parameter, by finite differences. */
typedef struct verify_gradient {
    int n_checked, n_wrong;
    double worst;   /* the largest relative error */
    char name[128]; /* of the parameter it was found at */
} verify_gradient;

/* Trains in one layout; with `gradient` checks the first step's gradient instead. Collective
 * over the session; the results are filled on the layout's own ranks, the status and its line
 * on all, of which the others sleep meanwhile. */
void verify_run(tool_session *session, const tool_placement *placement, const verify_work *work,
                const verify_layout *layout, verify_gradient *gradient, verify_record *record);
void verify_record_free(verify_record *record);

/* How two records compare, from best to worst. */
typedef enum verify_match {
    VERIFY_SAME,  /* to the last bit */
    VERIFY_CLOSE, /* within the tolerance of a sum in another order */
    VERIFY_DIFFER,
} verify_match;

typedef struct verify_outcome {
    verify_match losses, norms, gradients, weights;
    bool has_tolerance; /* bits may differ: tensor ranks without `reproducible` */
    char first[256];    /* the first difference by name; "" */
} verify_outcome;

void verify_compare(const verify_record *reference, const verify_record *record,
                    bool has_tolerance, ringmoe_precision precision, verify_outcome *outcome);

/* No match of the outcome is DIFFER. */
bool verify_is_well(const verify_outcome *outcome);
/* "same", "close", "DIFFER". */
const char *verify_match_word(verify_match match);

/* In gradient.c, for verify_run. */
ringmoe_status verify_check_gradient(ringmoe_trainer *trainer, verify_gradient *result);

/* The screen, in the order of a run. */
void verify_print_header(const tool_session *session, const verify_work *work);
void verify_print_row(const verify_layout *layout, const verify_record *record,
                      const verify_outcome *outcome);
void verify_print_left_out(const verify_layouts *layouts);
void verify_print_gradient(const verify_gradient *gradient);

#endif
