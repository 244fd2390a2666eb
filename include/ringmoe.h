/* SPDX-License-Identifier: MIT
 *
 * ringmoe: a portable CPU runtime for Mixture-of-Experts models. This header includes the rest.
 *
 *   context.h   communicator, threads, kernel level, messages     start here
 *   mesh.h      ranks laid out over the data and expert axes
 *   moe.h       one MoE layer that stands alone
 *   model.h     a transformer language model from config.json
 *   tokenizer.h text to tokens and back
 *   convert.h   models from one file format to another
 *   data.h      token streams
 *   train.h     training, evaluation, checkpoints
 *   generate.h  sampling
 *   machine.h   what the machine is and reaches
 *   products.h  grouped matrix products, for layers of your own
 */
#ifndef RINGMOE_H
#define RINGMOE_H

#include <ringmoe/types.h>
#include <ringmoe/context.h>
#include <ringmoe/mesh.h>
#include <ringmoe/moe.h>
#include <ringmoe/pipeline.h>
#include <ringmoe/model.h>
#include <ringmoe/convert.h>
#include <ringmoe/tokenizer.h>
#include <ringmoe/data.h>
#include <ringmoe/checkpoint.h>
#include <ringmoe/train.h>
#include <ringmoe/generate.h>
#include <ringmoe/machine.h>
#include <ringmoe/products.h>

#define RINGMOE_VERSION_MAJOR 0
#define RINGMOE_VERSION_MINOR 1
#define RINGMOE_VERSION_PATCH 0
#define RINGMOE_VERSION "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif
/** The version of the library that runs, as RINGMOE_VERSION was when it was built. Local. */
RINGMOE_API const char *ringmoe_version(void);
#ifdef __cplusplus
}
#endif
#endif
