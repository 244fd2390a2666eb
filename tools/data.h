/* SPDX-License-Identifier: MIT
 *
 * The parts of `ringmoe data`. Each works in one process.
 */
#ifndef TOOLS_DATA_H
#define TOOLS_DATA_H

#include "session.h"

int data_tokenize(tool_session *session, int argc, char **argv);
int data_train_tokenizer(tool_session *session, int argc, char **argv);
int data_info(tool_session *session, int argc, char **argv);

#endif
