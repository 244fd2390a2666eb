/* SPDX-License-Identifier: MIT
 *
 * A conversion: the source's parameters, the parameters of what is to be written, where each
 * of those comes from, and the tensors that they make up there.
 */
#ifndef RM_CONVERSION_H
#define RM_CONVERSION_H

#include <ringmoe/convert.h>

#include "comm/context.h"
#include "model/weight_source.h"

/* Where a parameter to be written comes from. */
typedef struct rm_origin {
    const rm_parameter *parameter; /* of the source; NULL: it is drawn, as a new router is */
    const rm_weight_place *place;
} rm_origin;

/* A tensor to be written: of one parameter, or of those of all experts of a layer, expert by
 * expert, each with the parameters of one role or, one after the other, of two. */
typedef struct rm_converted_tensor {
    rm_tensor_entry entry;
    int parameters[2]; /* in the table: of expert 0, if it is of experts */
    int n_parameters;
    int n_experts;     /* 1: of one parameter */
    int stride;        /* in the table, from an expert's to the next one's */
    int64_t head_rows; /* as in rm_weight_place */
    int64_t bytes;
} rm_converted_tensor;

typedef struct rm_conversion {
    ringmoe_context *context;
    const ringmoe_convert_settings *settings;
    const char *model, *out;
    rm_weight_source *source;
    ringmoe_model_config from, to;
    rm_parameter_table from_table, table;
    rm_weight_place *places; /* of from_table's parameters */
    rm_origin *origins;      /* of table's */
    rm_dtype type;           /* of matrices */
    rm_converted_tensor *tensors;
    int n_tensors;
    int64_t done, total; /* bytes */
    rm_error *error;
} rm_conversion;

/* `to` and `origins`, from `from`. ARGUMENT, MEMORY. */
ringmoe_status rm_conversion_aim(rm_conversion *conversion);
/* `tensors`, in the order in which they are to be written. ARGUMENT, MEMORY. */
ringmoe_status rm_conversion_plan(rm_conversion *conversion);

/* Takes bytes of a tensor, in order. */
typedef ringmoe_status (*rm_tensor_taker)(void *user, const void *data, int64_t bytes,
                                          rm_error *error);
/* A tensor's data, a block at a time. */
ringmoe_status rm_conversion_write(rm_conversion *conversion, const rm_converted_tensor *tensor,
                                   rm_tensor_taker take, void *user);

/* Adds to the message of a tokenizer that could not be read how to do without it. */
ringmoe_status rm_conversion_refuse_tokenizer(const rm_conversion *conversion,
                                              ringmoe_status status);

/* The whole of what is to be written. */
ringmoe_status rm_conversion_to_folder(rm_conversion *conversion);
ringmoe_status rm_conversion_to_gguf(rm_conversion *conversion);

#endif
