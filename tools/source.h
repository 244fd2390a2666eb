/* SPDX-License-Identifier: MIT
 *
 * Where a command's data and model come from: the words behind --data and --model.
 */
#ifndef TOOLS_SOURCE_H
#define TOOLS_SOURCE_H

#include "session.h"

#define SOURCE_PATH 4096

/* Bytes of the synthetic language, and the part at its end that is held out by default. */
#define SYNTHETIC_TOKENS ((int64_t)1 << 22)
#define HELD_OUT_FRACTION 0.05

/* Opens "synthetic" (the language of `seed`) or a path. Returns an exit status. */
int source_tokens(tool_session *session, const char *data, int format, int vocab_size,
                  int64_t seed, ringmoe_tokens **tokens);

/* The configuration of a preset, a config.json, a model's folder or a run's folder. */
int source_config(tool_session *session, const char *model, ringmoe_model_config *config);

/* The folder with the weights: `model` itself, which may be a GGUF file too, or the newest
 * checkpoint of the run there. */
int source_weights(tool_session *session, const char *model, char folder[SOURCE_PATH]);

/* Loads them onto the mesh, which it lays out first. `path` becomes where they are. */
int source_model(tool_session *session, const tool_placement *placement, const char *model,
                 const ringmoe_load_settings *settings, char path[SOURCE_PATH],
                 ringmoe_model **loaded);

#endif
