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

/* What is known of a model's files; nothing of a preset's or a config.json's. */
typedef struct info_files {
    bool has_weights;
    ringmoe_model_files files;
    ringmoe_tokenizer *tokenizer; /* rank 0's; NULL: none */
    char why[256];                /* it could not be read; "" */
} info_files;

int info_files_open(tool_session *session, const char *model, info_files *found);
void info_files_close(info_files *found);
void info_files_print(const info_files *found);
/* Adds members. */
void info_files_to_json(const info_files *found, json_t *object);
/* Whether the path is a model's, and neither a run's nor a checkpoint's. */
bool info_is_model(const char *path);
/* "65 F32 (1.2 MiB), 226 BF16 (1.25 GiB), in 1 file" and the end of the line. */
void info_print_tensors(const ringmoe_model_files *files);
void info_print_config(const ringmoe_model_config *config);

int info_machine(tool_session *session, const info_options *options);
int info_checkpoint(tool_session *session, const info_options *options);
int info_model(tool_session *session, const info_options *options);

#endif
