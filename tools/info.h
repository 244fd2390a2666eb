/* SPDX-License-Identifier: MIT
 *
 * The parts of `ringmoe info`: the machine, a model that is to be trained, a checkpoint.
 */
#ifndef TOOLS_INFO_H
#define TOOLS_INFO_H

#include "source.h"

typedef struct info_options {
    tool_placement placement;
    tool_execution execution;
    ringmoe_train_settings train;
    const char *model, *folder;
    int verify, json;
} info_options;

int info_machine(tool_session *session, const info_options *options);
int info_checkpoint(tool_session *session, const info_options *options);
int info_model(tool_session *session, const info_options *options);

#endif
